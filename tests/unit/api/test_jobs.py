"""Reading, listing, fetching and canceling jobs."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ulid import ULID

from api.jobs import CANCEL_TRIES
from pipeline.errors import storage_unavailable
from pipeline.events import Event
from pipeline.identity import job_in
from pipeline.job import Failure, Job, Source, Status, claim
from pipeline.wire import Progress
from tests.unit.api.conftest import NOW, World, pointers, problem

CANCELABLE = [Status.AWAITING_UPLOAD, Status.QUEUED, Status.PROCESSING]


@pytest.mark.parametrize("status", Status)
def test_a_job_is_shown_with_its_urls_and_without_what_is_ours(world: World, status: Status) -> None:
    job = world.add_job(status=status, webhook="https://hooks.test/?secret", lease_until=NOW)
    shown = world.alice.get(f"/v1/jobs/{job.id}").json()
    assert (shown["id"], shown["status"]) == (job.id, status.value)
    assert shown["urls"]["cancel"] == f"http://api.test/v1/jobs/{job.id}/cancel"
    assert shown["created_at"] == "2026-11-01T12:00:00Z"
    assert not {"owner", "webhook", "lease_until", "faults"} & shown.keys()


def test_a_failed_job_says_why_and_what_to_do(world: World) -> None:
    shown = world.alice.get(f"/v1/jobs/{world.add_job(status=Status.FAILED).id}").json()
    assert shown["error"]["code"] == "image_truncated"
    assert shown["error"]["hint"] == "Upload all of it."


@pytest.mark.parametrize("status", Status)
def test_live_progress_is_shown_while_a_worker_has_the_job(world: World, status: Status) -> None:
    job = world.add_job(status=status)
    progress = Progress(percent=41.2, stage="device", tiles_done=21, tiles_total=51)
    world.call(lambda: world.bus.shout(f"progress.{job.id}", progress.model_dump_json().encode()))
    shown = world.alice.get(f"/v1/jobs/{job.id}").json()["progress"]
    assert shown == (progress.model_dump() if status in (Status.PROCESSING, Status.PUBLISHING) else None)
    assert world.alice.get("/v1/jobs").json()["items"][0]["progress"] == shown


def test_unreadable_progress_is_ignored(world: World) -> None:
    job = world.add_job(status=Status.PROCESSING)
    world.call(lambda: world.bus.shout(f"progress.{job.id}", b"{nonsense"))
    assert world.alice.get(f"/v1/jobs/{job.id}").json()["progress"] is None


def listed(world: World, **params: Any) -> list[str]:
    return [job["id"] for job in world.alice.get("/v1/jobs", params=params).json()["items"]]


def test_pages_show_every_job_once_and_newest_first(world: World) -> None:
    ids = sorted((world.add_job().id for _ in range(7)), reverse=True)
    found: list[str] = []
    page: dict[str, Any] = {"next_cursor": None}
    for _ in range(3):
        params = {"limit": 3} | ({"cursor": page["next_cursor"]} if page["next_cursor"] else {})
        page = world.alice.get("/v1/jobs", params=params).json()
        found += [job["id"] for job in page["items"]]
    assert found == ids
    assert page["next_cursor"] is None


def test_a_list_holds_what_fits_everything_that_was_said(world: World) -> None:
    def job(day: int, key: str, **changes: Any) -> str:
        id_ = job_in(f"batch_{ULID.from_datetime(NOW + timedelta(days=day))}", 1)
        made = world.jobs.jobs.pop(world.add_job(source=Source(bucket="uploads", key=key), **changes).id)
        world.jobs.jobs[id_] = made.model_copy(update={"id": id_})
        return id_

    old, new = job(0, "trip/@x4/a.jpg"), job(2, "trip/b.jpg", batch_id="batch_1", status=Status.FAILED)
    job(2, "tripe/c.jpg", owner="bob")
    assert listed(world, prefix="trip/") == [new, old]
    assert listed(world, prefix="trip/@") == [old]
    assert listed(world, batch_id="batch_1") == [new]
    assert listed(world, prefix="trip/", status="failed") == [new]
    day = (NOW + timedelta(days=1)).isoformat()
    assert listed(world, created_gte=day) == [new]
    assert listed(world, created_lt=day, prefix="trip/") == [old]
    assert listed(world, created_gte="0001-01-01T00:00:00Z", created_lt="9999-12-31T23:59:59Z") == [new, old]
    cursor = world.alice.get("/v1/jobs", params={"limit": 1, "created_lt": day}).json()["next_cursor"]
    assert cursor is None
    assert listed(world, created_gte=(NOW + timedelta(days=3)).isoformat()) == []


def test_a_time_without_its_zone_is_refused_with_a_pointer(world: World) -> None:
    answer = world.alice.get("/v1/jobs", params={"created_gte": "2026-11-01T00:00:00"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/created_gte")


def test_a_page_that_is_exactly_full_has_no_next_one(world: World) -> None:
    world.add_job()
    assert world.alice.get("/v1/jobs", params={"limit": 1}).json()["next_cursor"] is None


def test_jobs_made_between_two_pages_do_not_shift_the_second(world: World) -> None:
    ids = sorted((world.add_job().id for _ in range(4)), reverse=True)
    cursor = world.alice.get("/v1/jobs", params={"limit": 2}).json()["next_cursor"]
    world.add_job()
    assert listed(world, cursor=cursor) == ids[2:]


@pytest.mark.parametrize(("limit", "count"), [(-5, 1), (0, 1), (1, 1), (200, 200), (201, 200), (10**9, 200)])
def test_a_limit_is_brought_between_1_and_200(world: World, limit: int, count: int) -> None:
    for _ in range(201):
        world.add_job()
    assert len(listed(world, limit=limit)) == count


def test_filters_choose_by_status_and_by_key(world: World) -> None:
    failed, queued = world.add_job(status=Status.FAILED), world.add_job()
    assert listed(world, status="failed") == [failed.id]
    assert listed(world, key=queued.source.key) == [queued.id]
    assert listed(world, key=queued.source.key, status="failed") == []


@pytest.mark.parametrize(
    "query",
    ["limit=many", "cursor=nonsense", "cursor=%00", "status=done", "key=" + "k" * 1025, "sort=up", "limit=1&limit=2"],
)
def test_a_query_that_is_not_understood_is_refused_by_name(world: World, query: str) -> None:
    assert pointers(world.alice.get(f"/v1/jobs?{query}")) == ["#/" + query.partition("=")[0]]


def test_a_result_is_a_redirect_to_a_signed_address_that_saves_under_the_jobs_name(world: World) -> None:
    job = world.add_job(status=Status.SUCCEEDED)
    answer = world.alice.get(f"/v1/jobs/{job.id}/result")
    assert answer.status_code == 302
    target = urlsplit(answer.headers["location"])
    assert (target.netloc, target.path) == ("objects.test:9000", f"/outputs/{job.source.key}")
    query = parse_qs(target.query)
    assert query["response-content-disposition"] == ["attachment; filename*=UTF-8''a.jpg"]
    assert int(query["X-Amz-Expires"][0]) == 600
    assert query["X-Amz-Signature"]


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.SUCCEEDED}))
def test_a_job_without_a_result_answers_409_and_says_how_it_stands(world: World, status: Status) -> None:
    answer = world.alice.get(f"/v1/jobs/{world.add_job(status=status).id}/result")
    assert problem(answer) == (409, "job_not_finished")
    assert ("image_truncated" if status is Status.FAILED else status.value) in answer.json()["detail"]
    assert answer.json()["retryable"] is (status not in (Status.FAILED, Status.CANCELED, Status.EXPIRED))


def test_an_output_that_is_gone_or_replaced_answers_410(world: World) -> None:
    gone, replaced = world.add_job(status=Status.SUCCEEDED), world.add_job(status=Status.SUCCEEDED)
    world.call(lambda: world.objects.delete("outputs", gone.source.key))
    world.call(lambda: world.objects.put("outputs", replaced.source.key, b"newer", content_type="image/jpeg"))
    for job in (gone, replaced):
        assert problem(world.alice.get(f"/v1/jobs/{job.id}/result")) == (410, "output_expired")


METRICS = {
    "attempt": 1, "engine": "openvino", "precision": "f32", "model": "realesrgan-x4plus", "device_seconds": 1.9,
    "plan": {"tiles": 4}, "stages_seconds": {"queue": 0.1}, "peak_bytes": 0,
    "input": {"width": 2}, "output": {"width": 8}, "fidelity": {"psnr_db": 30.0, "verdict": "pass"},
}  # fmt: skip


def test_metrics_are_those_of_the_present_run(world: World) -> None:
    job = world.add_job(status=Status.SUCCEEDED, run=2)
    for run in (1, 2):
        document = {**METRICS, "job_id": job.id, "run": run}
        world.call(lambda document=document: world.documents.quality.put(job.id, document["run"], document))
    assert world.alice.get(f"/v1/jobs/{job.id}/metrics").json() == {**METRICS, "job_id": job.id, "run": 2}


def test_metrics_of_a_job_that_the_gate_failed_are_there(world: World) -> None:
    error = Failure(code="quality_gate_failed", detail="Not true.", hint="Try another model.")
    job = world.add_job(status=Status.FAILED, error=error)
    fidelity = {"psnr_db": 9.0, "verdict": "fail", "failed": ["psnr_db"]}
    document = {**METRICS, "job_id": job.id, "run": 1, "fidelity": fidelity}
    world.call(lambda: world.documents.quality.put(job.id, 1, document))
    answer = world.alice.get(f"/v1/jobs/{job.id}/metrics")
    assert (answer.status_code, answer.json()["fidelity"]) == (200, fidelity)


def test_metrics_before_the_end_answer_409(world: World) -> None:
    answer = world.alice.get(f"/v1/jobs/{world.add_job().id}/metrics")
    assert problem(answer) == (409, "metrics_not_ready")


@pytest.mark.parametrize("status", Status)
def test_cancel_stops_what_has_not_passed_its_commit_point(world: World, status: Status) -> None:
    job = world.add_job(status=status)
    answer = world.alice.post(f"/v1/jobs/{job.id}/cancel")
    if status in CANCELABLE:
        assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
        assert world.jobs.jobs[job.id].rev == job.rev + 1
    elif status is Status.CANCELED:
        assert answer.status_code == 200
    else:
        assert problem(answer) == (409, "job_not_cancelable")
    assert [message.id for message in world.bus.published] == (
        [f"evt_{job.id.removeprefix('job_')}_1_canceled"] if status in CANCELABLE else []
    )


def test_canceling_twice_sends_one_event_with_the_job_in_it(world: World) -> None:
    job = world.add_job()
    answers = [world.alice.post(f"/v1/jobs/{job.id}/cancel") for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    (message,) = world.bus.published
    assert message.subject == f"events.job.{job.id}.canceled"
    assert Event.model_validate_json(message.body).job == world.jobs.jobs[job.id]


def outrun(world: World, monkeypatch: pytest.MonkeyPatch, times: int) -> list[Job]:
    """Have a worker claim the job *times* times just before our write; returns what we tried to write."""
    tried: list[Job] = []
    save = world.jobs.save

    async def save_late(job: Job, outbox: Any = ()) -> bool:
        tried.append(job)
        if len(tried) <= times:
            stored = world.jobs.jobs[job.id]
            world.jobs.jobs[job.id] = claim(stored, NOW + timedelta(seconds=len(tried)), lease_seconds=60)
        return await save(job, outbox)

    monkeypatch.setattr(world.jobs, "save", save_late)
    return tried


def test_a_cancel_that_loses_a_race_looks_again_and_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = world.add_job()
    tried = outrun(world, monkeypatch, 2)
    assert world.alice.post(f"/v1/jobs/{job.id}/cancel").json()["status"] == "canceled"
    assert [attempt.rev for attempt in tried] == [2, 3, 4]
    assert len(world.bus.published) == 1


def test_a_cancel_that_always_loses_gives_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = world.add_job()
    tried = outrun(world, monkeypatch, 1000)
    answer = world.alice.post(f"/v1/jobs/{job.id}/cancel")
    assert problem(answer) == (409, "job_not_cancelable")
    assert answer.json()["retryable"] is True
    assert len(tried) == CANCEL_TRIES


def test_a_cancel_stands_when_the_bus_is_away_and_its_event_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_message: object) -> None:
        raise storage_unavailable("bus")

    monkeypatch.setattr(world.bus, "publish", refuse)
    job = world.add_job()
    assert world.alice.post(f"/v1/jobs/{job.id}/cancel").json()["status"] == "canceled"
    assert [message.subject for message in world.jobs.outbox[job.id]] == [f"events.job.{job.id}.canceled"]
