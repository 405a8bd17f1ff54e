"""OWASP ASVS 5.0 (https://owasp.org/www-project-application-security-verification-standard): limits and quotas."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from api.__main__ import answer
from api.app import TABLE
from api.settings import Settings
from pipeline.identity import new_job_id
from pipeline.job import Status
from tests.unit.api.conftest import World, later, problem
from tests.unit.api.test_limits import ADDRESSES
from tests.unit.test_intake_quotas import PICTURE, Gate

LOGIN = "/v1/auth/login"
WRONG = {"email": "eve@example.org", "password": "not the password"}
#: What a proxy tells of whom it speaks for, and anybody can send.
TOLD_BY_PROXIES = [
    "x-forwarded-for",
    "x-real-ip",
    "forwarded",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-cluster-client-ip",
    "x-user-id",
]


def spoofed(name: str, number: int) -> dict[str, str]:
    address = f"203.0.113.{number}"
    return {name: f"for={address}" if name == "forwarded" else address}


def announce(world: World, size_bytes: int = 1) -> Any:
    return world.alice.post("/v1/uploads", json={"filename": "a.png", "size_bytes": size_bytes})


def test_asvs_2_4_1_what_makes_something_is_bounded_by_minute_and_by_day(world: World) -> None:
    world.quotas["upscale"] = 2
    world.allowance["bytes"] = 3
    assert [announce(world).status_code for _ in range(3)] == [201, 201, 429]
    world.now = later(minutes=1)
    assert announce(world).status_code == 201
    refused = announce(world)
    assert (problem(refused), len(world.jobs.jobs)) == ((429, "quota_exceeded"), 3)


def test_asvs_2_4_1_every_call_of_a_user_counts_against_a_limit() -> None:
    free = {(method, line.path) for line in TABLE for method, one in line.operations.items() if one.kind is None}
    assert {one.access for line in TABLE for method, one in line.operations.items() if (method, line.path) in free} == {
        "public"
    }


def test_asvs_2_4_1_who_guesses_ids_uses_up_their_calls(world: World) -> None:
    world.quotas["status"] = 3
    guesses = [world.bob.get(f"/v1/jobs/{new_job_id()}").status_code for _ in range(5)]
    assert guesses == [404, 404, 404, 429, 429]


def test_asvs_2_4_1_connections_that_stay_open_are_bounded(world: World) -> None:
    world.places.per_owner = 0
    job = world.add_job()
    assert problem(world.alice.get(f"/v1/jobs/{job.id}/events")) == (429, "streams_exhausted")


def test_asvs_2_4_1_another_token_or_session_is_no_way_around(world: World) -> None:
    world.quotas["upscale"] = 2
    world.allowance["jobs"] = 9
    made = world.alice.post("/v1/tokens", json={"name": "other", "scopes": ["jobs:write"]}).json()["secret"]
    body, other = {"filename": "a.png", "size_bytes": 1}, {"authorization": f"Bearer {made}"}
    assert [announce(world).status_code, announce(world).status_code] == [201, 201]
    assert problem(world.nobody.post("/v1/uploads", json=body, headers=other)) == (429, "rate_limited")
    world.now = later(minutes=1)
    world.allowance["jobs"] = 2
    assert problem(world.nobody.post("/v1/uploads", json=body, headers=other)) == (429, "quota_exceeded")


@pytest.mark.parametrize("name", TOLD_BY_PROXIES)
def test_asvs_4_1_3_what_a_caller_says_of_its_address_changes_no_limit(world: World, name: str) -> None:
    world.quotas["login"] = 2
    tries = [{"email": f"eve{number}@example.org", "password": "not the password"} for number in range(3)]
    answers = [world.nobody.post(LOGIN, json=body, headers=spoofed(name, at)) for at, body in enumerate(tries)]
    assert [given.status_code for given in answers] == [401, 401, 429]
    assert problem(answers[-1]) == (429, "rate_limited")


@pytest.mark.parametrize("name", TOLD_BY_PROXIES)
def test_asvs_4_1_3_nobody_uses_up_or_borrows_the_calls_of_another(world: World, name: str) -> None:
    world.quotas["default"] = 1
    assert world.alice.get("/v1/models", headers={name: "owner:bob"}).status_code == 200
    assert world.alice.get("/v1/models", headers={name: "owner:carol"}).status_code == 429
    assert world.bob.get("/v1/models").status_code == 200


@pytest.mark.parametrize("name", ["host", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix", "forwarded"])
def test_asvs_4_1_3_addresses_that_are_told_are_those_of_the_settings(world: World, name: str) -> None:
    job = world.add_job(status=Status.SUCCEEDED)
    value = "host=evil.example;proto=https" if name == "forwarded" else "evil.example"
    told = world.alice.get(f"/v1/jobs/{job.id}", headers={name: value})
    assert "evil" not in told.text
    assert told.json()["urls"]["self"] == f"http://api.test/v1/jobs/{job.id}"


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    """The process as it listens, with the settings of its server and not those of a test client."""
    assert world.app is not None
    app: Any = world.app.app
    stop = asyncio.Event()
    async with app.router.lifespan_context(app) as services:
        with capture_logs() as logged:
            task = asyncio.ensure_future(answer(Settings(**ADDRESSES, api_port=0), services, stop))
            await asyncio.sleep(0)  # it listens before it waits for anything
        (port,) = (line["port"] for line in logged if line["event"] == "service.ready")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
        stop.set()
        await task


@pytest.mark.anyio
async def test_asvs_4_1_3_the_server_takes_no_address_from_a_header(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own setting must not open it either
    world.quotas["login"] = 2
    async with serving(world) as client:
        answers = [await client.post(LOGIN, json=WRONG, headers=spoofed("x-forwarded-for", at)) for at in range(3)]
        others = await client.post(LOGIN, json=WRONG | {"email": "b@example.org"}, headers=spoofed("forwarded", 9))
    assert [given.status_code for given in (*answers, others)] == [401, 401, 429, 429]


@pytest.mark.parametrize(("name", "size_bytes", "fits"), [("jobs", 1, 4), ("bytes", 100_000, 3)])
def test_asvs_5_2_4_a_user_cannot_fill_the_store_with_many_files_or_with_large_ones(
    world: World, name: Any, size_bytes: int, fits: int
) -> None:
    world.allowance |= {"bytes": 350_000, "jobs": 4}
    answers = [announce(world, size_bytes) for _ in range(fits + 1)]
    assert [made.status_code for made in answers] == [201] * fits + [429]
    assert answers[-1].json()["violated-policies"] == [name]
    policy = json.loads(base64.b64decode(answers[0].json()["form"]["fields"]["policy"]))
    (most,) = (said[2] for said in policy["conditions"] if said[0] == "content-length-range")
    assert int(most) == size_bytes  # what was counted: no larger file can be sent
    assert len(world.jobs.jobs) == fits


def test_asvs_5_2_4_the_picture_of_a_refused_request_is_not_kept(world: World) -> None:
    world.allowance["bytes"] = len(PICTURE) - 1
    refused = world.alice.post("/v1/jobs", files={"file": ("a.png", PICTURE)})
    assert problem(refused) == (429, "quota_exceeded")
    assert world.objects.stored == {}
    assert world.jobs.jobs == {}


@pytest.mark.anyio
async def test_asvs_5_2_4_uploads_past_the_api_meet_the_same_quota() -> None:
    gate = Gate({"bytes": 2 * len(PICTURE)})
    sent = [await gate.send(f"~alice/{number}.png") for number in range(3)]
    assert [job.status for job in sent] == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    assert [job.error.code for job in sent if job.error] == ["quota_exceeded"]
