"""What an owner may ask for: refused in every way in, told before, and given by admins."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from api.quotas import TYPE
from api.settings import Settings
from pipeline.adapters.memory import documents
from pipeline.job import Job, JobOptions, Source, Status
from pipeline.ports.documents import SourceRecord
from pipeline.quotas import Allowances, QuotaExceededError, submission
from tests.making import EFFECTIVE, NOON, a_job, picture, sequencer
from tests.unit.api.conftest import NOW, World, later, pointers, problem
from tests.unit.api.people import EMAIL, PASSWORD
from tests.unit.api.test_limits import ADDRESSES

MIDNIGHT = "2026-11-02T00:00:00Z"
HALF_A_DAY = 12 * 3600
PNG = b"\x89PNG\r\n\x1a\n picture"


def announce(world: World, size_bytes: int = 1, key: str | None = None) -> Any:
    headers = {} if key is None else {"idempotency-key": key}
    return world.alice.post("/v1/uploads", json={"filename": "a.png", "size_bytes": size_bytes}, headers=headers)


def used(world: World, owner: str = "alice") -> Any:
    return world.admin.get(f"/v1/admin/usage/{owner}").json()


def failed(world: World, **changes: Any) -> Job:
    """A job that can be retried."""
    source = Source(bucket="uploads", key="a.png", etag="e1", sequencer=sequencer(1))
    wanted: dict[str, Any] = {"source": source, "options": JobOptions(effective=EFFECTIVE)}
    job = world.add_job(status=Status.FAILED, **(wanted | changes))
    world.call(lambda: world.documents.sources.insert(SourceRecord("a.png", sequencer(1), "e1", job.id)))
    return job


def test_a_refusal_says_what_was_exceeded_and_when_to_come_back(world: World) -> None:
    world.allowance |= {"bytes": 100, "jobs": 9}
    assert announce(world, 90).status_code == 201
    refused = announce(world, 11)
    assert problem(refused) == (429, "quota_exceeded")
    body = refused.json()
    assert (body["type"], body["violated-policies"], body["retryable"]) == (TYPE, ["bytes"], True)
    assert (
        body["detail"]
        == "More than the quota of alice allows: 90 of 100 bytes of uploads a day are used and 11 more asked for."
    )
    assert MIDNIGHT in body["hint"]
    assert refused.headers["retry-after"] == str(HALF_A_DAY)
    assert refused.headers["ratelimit-policy"] == '"bytes";q=100;qu="content-bytes";w=86400'
    assert refused.headers["ratelimit"] == f'"bytes";r=10;t={HALF_A_DAY}'
    assert announce(world, 10).status_code == 201
    assert len(world.jobs.jobs) == 2


def test_large_amounts_are_told_to_the_last_byte(world: World) -> None:
    world.allowance["bytes"] = 10**10
    source = Source(bucket="uploads", key="a.png", bytes=10**10 - 1)
    world.add_job(source=source)
    assert "9999999999 of 10000000000 bytes" in announce(world, 2).json()["detail"]


def test_what_never_fits_is_not_worth_another_try(world: World) -> None:
    world.allowance["bytes"] = 100
    never = announce(world, 101)
    assert (never.json()["retryable"], "retry-after" in never.headers) == (False, False)
    assert never.json()["hint"].startswith("Ask for less")
    world.allowance["jobs"] = 1
    announce(world)
    refused = announce(world, 101).json()  # room for a job may come, room for its bytes never
    assert (refused["violated-policies"], refused["retryable"]) == (["bytes", "jobs"], False)


def test_a_refusal_says_what_is_left_of_calls_as_well(world: World) -> None:
    world.quotas["upscale"] = 5
    world.allowance["jobs"] = 0
    refused = announce(world)
    assert refused.headers["ratelimit"] == '"jobs";r=0;t=60, "upscale";r=4;t=60'
    assert refused.headers["ratelimit-policy"] == '"jobs";q=0;qu="concurrent-requests", "upscale";q=5;w=60'


def test_what_would_be_refused_is_refused_in_a_dry_run_too(world: World) -> None:
    world.add_worker("w", "realesrgan-x4plus")
    small = {"file": ("a.png", picture(8, 6))}
    world.allowance["pixels"] = 32 * 24
    assert world.alice.post("/v1/jobs?dry_run=true", files=small).status_code == 200
    world.allowance["pixels"] -= 1
    refused = world.alice.post("/v1/jobs?dry_run=true", files=small)
    assert (problem(refused), refused.json()["violated-policies"]) == ((429, "quota_exceeded"), ["pixels"])
    assert world.jobs.jobs == {}


def test_every_quota_that_is_exceeded_is_named(world: World) -> None:
    world.allowance |= {"bytes": 1, "jobs": 1}
    announce(world)
    refused = announce(world)
    assert refused.json()["violated-policies"] == ["bytes", "jobs"]
    assert refused.headers["ratelimit"] == f'"bytes";r=0;t={HALF_A_DAY}, "jobs";r=0;t=60'
    assert refused.headers["retry-after"] == str(HALF_A_DAY)


def test_every_way_in_counts_and_is_refused(world: World) -> None:
    world.allowance["jobs"] = 1
    announce(world)
    world.call(lambda: world.objects.put("uploads", "~alice/a.png", PNG, content_type="image/png"))
    stored = {"bucket": "uploads", "key": "~alice/a.png"}
    batch = {"bucket": "uploads", "keys": ["~alice/a.png"]}
    answers = [
        announce(world),
        world.alice.post("/v1/jobs", files={"file": ("a.png", PNG)}),
        world.alice.post("/v1/jobs", json={"base64": "iVBORw0KGgo="}),
        world.alice.post("/v1/jobs", json=stored),
        world.alice.post("/v1/batches", json=batch),
        world.alice.post(f"/v1/jobs/{failed(world).id}/retry"),
    ]
    assert [problem(answer) for answer in answers] == [(429, "quota_exceeded")] * len(answers)
    assert [job.status for job in world.jobs.jobs.values()] == [Status.AWAITING_UPLOAD, Status.FAILED]
    assert world.alice.get("/v1/batches").json()["items"] == []


def test_a_batch_is_let_in_as_a_whole_or_not_at_all(world: World) -> None:
    keys = ["~alice/a.png", "~alice/b.png", "~alice/c.png"]
    for key in keys:
        world.call(lambda key=key: world.objects.put("uploads", key, PNG, content_type="image/png"))
    batch = {"bucket": "uploads", "keys": keys}
    world.allowance["bytes"] = 3 * len(PNG) - 1
    assert problem(world.alice.post("/v1/batches", json=batch)) == (429, "quota_exceeded")
    assert world.jobs.jobs == {}
    world.allowance |= {"bytes": 3 * len(PNG), "jobs": 2}
    assert world.alice.post("/v1/batches", json=batch).json()["violated-policies"] == ["jobs"]
    assert world.jobs.jobs == {}
    world.allowance["jobs"] = 3
    assert world.alice.post("/v1/batches", json=batch).status_code == 202
    assert used(world)["bytes"] == {"used": 3 * len(PNG), "quota": 3 * len(PNG), "left": 0}


def test_no_more_of_many_requests_at_once_are_let_in_than_fit() -> None:
    async def ask() -> list[object]:
        stores = documents()
        allowances = Allowances(stores, {"jobs": 3}, clock=lambda: NOON)

        async def one() -> None:
            async with allowances.admitted("alice", submission(1)):
                await asyncio.sleep(0)  # others get their turn between the look and the job
                await stores.jobs.insert(a_job(owner="alice"))

        return await asyncio.gather(*(one() for _ in range(9)), return_exceptions=True)

    told = asyncio.run(ask())
    assert sum(one is None for one in told) == 3
    assert sum(isinstance(one, QuotaExceededError) for one in told) == 6


def test_amounts_start_anew_at_midnight_and_jobs_when_they_have_ended(world: World) -> None:
    world.allowance |= {"bytes": 5, "jobs": 1}
    announce(world, 5)
    (job,) = world.jobs.jobs.values()
    world.jobs.jobs[job.id] = job.model_copy(update={"status": Status.SUCCEEDED})
    world.now = later(hours=11, minutes=59, seconds=59)
    assert announce(world).json()["violated-policies"] == ["bytes"]
    world.now = later(hours=12)
    assert announce(world).status_code == 201
    assert announce(world).json()["violated-policies"] == ["jobs"]


@pytest.mark.parametrize(("name", "words"), [("pixels", "pixels of outputs"), ("device_seconds", "of the device")])
def test_what_is_known_only_later_is_refused_once_it_is_used_up(world: World, name: Any, words: str) -> None:
    world.allowance[name] = 10
    world.add_job(queued_at=NOW, output_pixels=9, status=Status.SUCCEEDED)
    measured = {"attempt": 1, "owner": "alice", "measured_at": NOW, "device_seconds": 9.25}
    world.call(lambda: world.documents.quality.put("job_a", 1, measured))
    assert announce(world).status_code == 201
    world.add_job(queued_at=NOW, output_pixels=1, status=Status.SUCCEEDED)
    world.call(lambda: world.documents.quality.put("job_b", 1, measured | {"device_seconds": 0.75}))
    refused = announce(world)
    assert (problem(refused), refused.json()["violated-policies"]) == ((429, "quota_exceeded"), [name])
    assert words in refused.json()["detail"]


def test_another_run_asks_for_its_pixels_again_but_not_twice_in_a_day(world: World) -> None:
    world.allowance["pixels"] = 10
    job = failed(world, output_pixels=11, queued_at=NOW - timedelta(days=1))
    assert problem(world.alice.post(f"/v1/jobs/{job.id}/retry")) == (429, "quota_exceeded")
    world.jobs.jobs[job.id] = job.model_copy(update={"output_pixels": 9, "queued_at": NOW})
    assert world.alice.post(f"/v1/jobs/{job.id}/retry").status_code == 202
    assert used(world)["pixels"]["used"] == 9


def test_a_repeated_request_is_the_same_job_and_asks_for_nothing(world: World) -> None:
    world.allowance["jobs"] = 1
    made = announce(world, key="k1").json()["job"]["id"]
    assert announce(world, key="k1").json()["job"]["id"] == made
    assert problem(announce(world, key="k2")) == (429, "quota_exceeded")
    (job,) = world.jobs.jobs.values()
    world.jobs.jobs[job.id] = job.model_copy(update={"status": Status.SUCCEEDED})
    assert announce(world, key="k2").status_code == 201


def test_another_owner_has_a_quota_of_their_own(world: World) -> None:
    world.allowance["jobs"] = 1
    announce(world)
    assert problem(announce(world)) == (429, "quota_exceeded")
    assert world.bob.post("/v1/uploads", json={"filename": "a.png", "size_bytes": 1}).status_code == 201


def test_usage_is_told_with_a_quota_and_without(world: World) -> None:
    announce(world, 7)
    world.add_job("bob", queued_at=NOW, output_pixels=5)
    world.allowance["bytes"] = 10
    told = world.alice.get("/v1/usage").json()
    free = {"quota": None, "left": None}
    assert told == {
        "owner": "alice",
        "resets_at": MIDNIGHT,
        "bytes": {"used": 7, "quota": 10, "left": 3},
        "pixels": {"used": 0, **free},
        "jobs": {"used": 1, **free},
        "device_seconds": {"used": 0, **free},
    }
    assert used(world) == told
    assert used(world, "bob")["pixels"] == {"used": 5, **free}


def test_admins_and_the_default_owner_are_bound_only_by_what_was_said_of_them(world: World) -> None:
    world.allowance["jobs"] = 0
    body = {"email": EMAIL, "password": PASSWORD, "role": "admin", "owner": "boss"}
    assert world.admin.post("/v1/admin/users", json=body).status_code == 201
    assert [used(world, owner)["jobs"]["quota"] for owner in ("boss", "default", "alice")] == [None, None, 0]
    for owner in ("boss", "default"):
        world.admin.put(f"/v1/admin/quotas/{owner}", json={"jobs": 3})
    assert [used(world, owner)["jobs"]["quota"] for owner in ("boss", "default")] == [3, 3]


def test_an_admin_gives_an_owner_quotas_of_their_own(world: World) -> None:
    world.allowance |= {"bytes": 5, "jobs": 1}
    path = "/v1/admin/quotas/alice"
    nothing = {"bytes": None, "pixels": None, "jobs": None, "device_seconds": None}
    assert world.admin.get(path).json() == {
        "owner": "alice",
        "said": nothing,
        "quotas": world.allowance | {"pixels": None, "device_seconds": None},
    }
    said = {"bytes": "unlimited", "pixels": 7}
    given = world.admin.put(path, json=said).json()
    assert given["said"] == nothing | said
    assert given["quotas"] == {"bytes": None, "pixels": 7, "jobs": 1, "device_seconds": None}
    assert world.admin.put(path, json=said | {"pixels": 7.0}).json() == given
    assert announce(world, 6).status_code == 201
    assert world.admin.put(path, json={}).json()["said"] == nothing
    assert announce(world, 6).json()["violated-policies"] == ["bytes", "jobs"]


@pytest.mark.parametrize("bound", [-1, 1.5, "5", "none", True, 2**53])
def test_a_quota_that_makes_no_sense_is_refused_by_its_pointer(world: World, bound: Any) -> None:
    assert pointers(world.admin.put("/v1/admin/quotas/alice", json={"bytes": bound})) == ["#/bytes"]
    assert pointers(world.admin.put("/v1/admin/quotas/alice", json={"byte": 1})) == ["#/byte"]


@pytest.mark.parametrize("path", ["usage", "quotas"])
def test_a_name_that_no_owner_can_have_is_not_found(world: World, path: str) -> None:
    assert problem(world.admin.get(f"/v1/admin/{path}/a%20b")) == (404, "owner_not_found")


def test_only_admins_give_quotas_and_read_those_of_others(world: World) -> None:
    asked = [world.alice.get("/v1/admin/usage/bob"), world.alice.put("/v1/admin/quotas/alice", json={})]
    asked.append(world.alice.get("/v1/admin/quotas/alice"))
    assert [problem(answer) for answer in asked] == [(403, "token_forbidden")] * 3


def test_quotas_are_settings_that_are_off_and_can_be_lifted() -> None:
    assert Settings(**ADDRESSES).allowance == {}
    assert Settings(**ADDRESSES, quota_bytes=5, quota_device_seconds=0).allowance == {"bytes": 5, "device_seconds": 0}
    assert Settings(**ADDRESSES, quota_bytes=5, rate_limits="off").allowance is None


@pytest.mark.anyio
async def test_where_limits_are_lifted_nothing_that_was_said_of_an_owner_holds() -> None:
    stores = documents()
    await stores.quotas.give("alice", {"jobs": 0})
    assert await Allowances(stores, None, clock=lambda: NOON).of("alice") == {}
    assert await Allowances(stores, {}, clock=lambda: NOON).of("alice") == {"jobs": 0}
