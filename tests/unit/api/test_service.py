"""Models, the webhook secret, health, and the long examination."""

import asyncio
from typing import Any

import pytest

from api.checks import Servers
from api.doctor import CANARIES, Canary
from api.progress import LiveProgress
from pipeline.adapters.memory import MemoryAccounts, documents
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.errors import PipelineError
from pipeline.job import Job, Source, Status
from pipeline.wire import Progress
from tests.unit.api.conftest import NOW, World, later, problem


def test_models_are_the_union_of_what_live_workers_report(world: World) -> None:
    world.add_worker("a", "lanczos", "bicubic")
    world.add_worker("b", "bicubic", "anime")
    world.add_worker("gone", "retired", seen_at=later(minutes=-2))
    names = [model["name"] for model in world.alice.get("/v1/models").json()["items"]]
    assert names == ["anime", "bicubic", "lanczos"]


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_a_model_is_available_once_one_worker_has_it(world: World, order: tuple[bool, bool]) -> None:
    for name, available in zip("ab", order, strict=True):
        world.add_worker(name, models=[{"name": "m", "scales": [2, 4], "licence": "BSD", "available": available}])
    (model,) = world.alice.get("/v1/models").json()["items"]
    assert model == {
        "name": "m", "scales": [2, 4], "architecture": None, "licence": "BSD", "source": None, "available": True,
        "denoises": False, "reason": None, "remedy": None,
    }  # fmt: skip


def test_no_workers_means_no_models(world: World) -> None:
    assert world.alice.get("/v1/models").json() == {"items": []}


def test_an_owner_without_a_webhook_secret_is_told_so(world: World) -> None:
    accounts = world.documents.accounts
    assert isinstance(accounts, MemoryAccounts)
    accounts.secrets.clear()
    assert problem(world.alice.get("/v1/webhook-secret")) == (404, "not_found")


def test_live_needs_no_server_and_ready_needs_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.nobody.get("/health/ready").json() == {"status": "pass"}
    monkeypatch.setattr(world.objects, "put", None)
    assert world.nobody.get("/health/live").json() == {"status": "pass"}


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.anyio
@pytest.mark.parametrize("away", ["mongo", "minio", "nats"])
async def test_ready_names_the_server_that_is_away(monkeypatch: pytest.MonkeyPatch, away: str) -> None:
    servers = Servers(documents(), MemoryObjects(), MemoryBus())

    async def refuse() -> None:
        raise ConnectionError("mongodb://user:password@host")

    monkeypatch.setitem(servers._pings, away, refuse)
    with pytest.raises(PipelineError) as caught:
        await servers.ready()
    assert caught.value.code == "storage_unavailable"
    assert caught.value.detail.endswith(f": {away}")


@pytest.mark.anyio
async def test_readiness_is_asked_once_for_everybody_and_again_after_two_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = Seconds()
    asked: list[float] = []
    servers = Servers(documents(), MemoryObjects(), MemoryBus(), monotonic=seconds)

    async def ping() -> None:
        asked.append(seconds.now)

    monkeypatch.setitem(servers._pings, "nats", ping)
    await asyncio.gather(*(servers.ready() for _ in range(20)))
    seconds.now = 1.9
    await servers.ready()
    seconds.now = 2.0
    await servers.ready()
    assert asked == [0.0, 2.0]


def test_a_ready_check_that_fails_is_a_problem(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_self: object) -> list[object]:
        from api.answers import Check

        return [Check(name="nats", status="fail", detail="secret detail", seconds=0)]

    monkeypatch.setattr(Servers, "check", refuse)
    answer = world.nobody.get("/health/ready")
    assert problem(answer) == (503, "storage_unavailable")
    assert "secret" not in answer.text


def announcing(world: World, monkeypatch: pytest.MonkeyPatch, *subjects: str) -> None:
    """Have the store announce what is put, as MinIO's notification targets do."""
    put = world.objects.put

    async def put_and_announce(bucket: str, key: str, *args: Any, **fields: Any) -> str:
        for subject in subjects:
            await world.bus.shout(subject, f'{{"Key": "{bucket}/{key}"}}'.encode())
        return await put(bucket, key, *args, **fields)

    monkeypatch.setattr(world.objects, "put", put_and_announce)


def test_the_doctor_passes_when_everything_works_and_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    announcing(world, monkeypatch, "uploads.fast", "uploads.durable")
    world.add_worker("one", "bicubic", probe={"tiles_per_second": 3})
    report = world.admin.get("/v1/admin/doctor").json()
    assert {check["name"]: check["status"] for check in report["checks"]} == dict.fromkeys(
        ("mongo", "minio", "nats", "uploads.fast", "uploads.durable", "lane.interactive", "lane.bulk", "workers"),
        "pass",
    )
    assert report["workers"] == [
        {
            "name": "one", "engine": "openvino", "precision": "f32", "probe": {"tiles_per_second": 3},
            "models": ["bicubic"], "seen_at": "2026-11-01T12:00:00Z",
            "heartbeat_seconds": 0, "late": False, "unusable": [],
        }
    ]  # fmt: skip
    assert world.objects.stored == {}


def test_no_worker_in_the_last_two_minutes_is_a_failing_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    announcing(world, monkeypatch, "uploads.fast", "uploads.durable")
    world.add_worker("gone", "bicubic", seen_at=later(minutes=-2))
    report = world.admin.get("/v1/admin/doctor").json()
    (check,) = (check for check in report["checks"] if check["status"] == "fail")
    assert check["name"] == "workers"
    assert report["workers"] == []


def test_a_worker_is_late_after_two_of_its_intervals(world: World) -> None:
    for name, every, age in (("a", 30, 60), ("b", 30, 61), ("c", 10, 25), ("ahead", 30, -5)):
        world.add_worker(name, "bicubic", every_seconds=every, seen_at=later(seconds=-age))
    workers = world.admin.get("/v1/admin/doctor").json()["workers"]
    assert {worker["name"]: (worker["late"], worker["heartbeat_seconds"]) for worker in workers} == {
        "a": (False, 60), "b": (True, 61), "c": (True, 25), "ahead": (False, 0),
    }  # fmt: skip


def test_workers_that_are_all_late_are_a_failing_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    announcing(world, monkeypatch, "uploads.fast", "uploads.durable")
    for seconds in (75, 90):
        world.add_worker(f"w{seconds}", "bicubic", seen_at=later(seconds=-seconds))
    checks = world.admin.get("/v1/admin/doctor").json()["checks"]
    (check,) = (check for check in checks if check["status"] == "fail")
    assert (check["name"], check["detail"]) == ("workers", "no heartbeat for 75 s")


def test_models_that_a_worker_cannot_run_are_told_with_reason_and_remedy(world: World) -> None:
    broken = {"name": "b", "available": False, "reason": "it is broken", "remedy": "mend it"}
    world.add_worker("w", models=[{"name": "a", "available": True}, broken])
    (worker,) = world.admin.get("/v1/admin/doctor").json()["workers"]
    assert worker["models"] == ["a", "b"]
    assert [(model["name"], model["reason"], model["remedy"]) for model in worker["unusable"]] == [
        ("b", "it is broken", "mend it")
    ]


class Announcer(MemoryObjects):
    """Announces what is put on some subjects; under another key when `announced_key` says so."""

    def __init__(self, *subjects: str, error: Exception | None = None) -> None:
        super().__init__()
        self.subjects = subjects
        self.error = error
        self.keys: list[str] = []
        self.announced_key: str | None = None
        self.canary = Canary(self, arrival_seconds=0.05)

    async def put(self, bucket: str, key: str, *args: Any, **fields: Any) -> str:
        if self.error:
            raise self.error
        self.keys.append(key)
        for subject in self.subjects:
            self.canary.heard(subject, f'{{"Key": "{bucket}/{self.announced_key or key}"}}'.encode())
        return await super().put(bucket, key, *args, **fields)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("heard", "verdicts"),
    [
        (("uploads.fast",), {"uploads.fast": "pass", "uploads.durable": "fail"}),
        (("uploads.durable",), {"uploads.fast": "fail", "uploads.durable": "pass"}),
        ((), {"uploads.fast": "fail", "uploads.durable": "fail"}),
        (("jobs.upscale.bulk",), {"uploads.fast": "fail", "uploads.durable": "fail"}),
    ],
)
async def test_a_silent_target_fails_alone(heard: tuple[str, ...], verdicts: dict[str, str]) -> None:
    objects = Announcer(*heard)
    checks = await objects.canary.check()
    assert {check.name: check.status for check in checks} == verdicts
    assert objects.stored == {}


@pytest.mark.anyio
async def test_somebody_elses_upload_is_no_sign_of_life_for_a_canary() -> None:
    objects = Announcer("uploads.fast", "uploads.durable")
    objects.announced_key = "somebody-elses.jpg"
    assert [check.status for check in await objects.canary.check()] == ["fail", "fail"]


@pytest.mark.anyio
async def test_each_canary_has_a_key_of_its_own_in_the_folder_that_ingest_ignores() -> None:
    objects = Announcer("uploads.fast", "uploads.durable")
    await asyncio.gather(*(objects.canary.check() for _ in range(5)))
    assert len(set(objects.keys)) == 5
    assert all(key.startswith(CANARIES) for key in objects.keys)


@pytest.mark.anyio
async def test_a_canary_that_cannot_be_put_fails_both_targets_and_says_why() -> None:
    checks = await Announcer(error=OSError("no space")).canary.check()
    assert [(check.status, check.detail) for check in checks] == [("fail", "OSError: no space")] * 2


@pytest.mark.anyio
async def test_what_is_heard_while_nobody_waits_is_dropped() -> None:
    objects = Announcer("uploads.fast", "uploads.durable")
    await objects.canary.check()
    assert objects.canary._awaited == {}
    objects.canary.heard("uploads.fast", b"{}")


def test_progress_is_kept_for_the_jobs_heard_of_last() -> None:
    live = LiveProgress(max_jobs=2)
    progress = Progress(percent=1, stage="device", tiles_done=1, tiles_total=2).model_dump_json().encode()
    for name in ("a", "b", "a", "c"):
        live.heard(f"progress.{name}", progress)
    source = Source(bucket="uploads", key="k")
    jobs = [
        Job(id=id_, owner="o", status=Status.PROCESSING, created_at=NOW, updated_at=NOW, source=source) for id_ in "abc"
    ]
    assert [live.of(job) is not None for job in jobs] == [True, False, True]
