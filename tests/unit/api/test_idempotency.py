"""One key, one job: whatever is sent again, at once, after a failure, or by somebody else."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from api.idempotency import HELD, KEPT
from pipeline.adapters.memory_idempotency import MemoryClaims
from pipeline.errors import storage_unavailable
from pipeline.job import Status
from tests.unit.api.conftest import World, problem

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n picture").decode()
KEY = {"idempotency-key": "key-1"}


def inline(world: World, key: str | None = "key-1", owner: str = "alice", **fields: Any) -> Any:
    headers = {} if key is None else {"idempotency-key": key}
    return world.clients[owner].post("/v1/jobs", json={"base64": PNG} | fields, headers=headers)


def form(world: World, body: bytes = b"picture", name: str = "a.jpg", **fields: str) -> Any:
    return world.alice.post("/v1/jobs", files={"file": (name, body, "image/jpeg")}, data=fields, headers=KEY)


def announce(world: World, **fields: Any) -> Any:
    return world.alice.post("/v1/uploads", json={"filename": "a.jpg", "size_bytes": 9} | fields, headers=KEY)


def test_the_same_request_again_gives_the_same_job_and_says_so(world: World) -> None:
    first, again = inline(world), inline(world)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert [answer.headers.get("idempotent-replayed") for answer in (first, again)] == [None, "true"]
    assert len(world.jobs.jobs) == 1


def test_a_repetition_shows_the_job_as_it_stands_by_then(world: World) -> None:
    job = world.jobs.jobs[inline(world).json()["id"]]
    world.jobs.jobs[job.id] = job.model_copy(update={"status": Status.CANCELED})
    assert inline(world).json()["status"] == "canceled"


def test_a_form_is_the_same_however_it_is_cut_into_parts(world: World) -> None:
    first, again = form(world, options='{"scale": 2}'), form(world, options='{ "scale":2 }')
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    "fields", [{"body": b"other"}, {"name": "b.jpg"}, {"options": '{"scale": 2}'}, {"metadata": '{"a": "b"}'}]
)
def test_another_form_under_the_same_key_is_refused(world: World, fields: Any) -> None:
    assert form(world).status_code == 202
    assert problem(form(world, **fields)) == (422, "idempotency_key_reused")
    assert len(world.jobs.jobs) == 1


@pytest.mark.parametrize("fields", [{"base64": "YQ=="}, {"options": {"scale": 2}}, {"webhook": "https://a.test/"}])
def test_another_body_under_the_same_key_is_refused(world: World, fields: Any) -> None:
    assert inline(world).status_code == 202
    assert problem(inline(world, **fields)) == (422, "idempotency_key_reused")


def test_an_announcement_is_repeated_with_fresh_signatures_for_the_same_key(world: World) -> None:
    first, again = announce(world).json(), announce(world)
    assert again.json()["job"] == first["job"]
    assert again.json()["form"]["fields"]["key"] == first["form"]["fields"]["key"]
    assert again.headers["idempotent-replayed"] == "true"
    assert problem(announce(world, size_bytes=8)) == (422, "idempotency_key_reused")


def test_an_announcement_can_be_repeated_after_its_file_has_come(world: World) -> None:
    job = world.jobs.jobs[announce(world).json()["job"]["id"]]
    world.jobs.jobs[job.id] = job.model_copy(update={"status": Status.QUEUED, "expires_at": None})
    assert announce(world).json()["job"]["status"] == "queued"


def test_a_key_is_its_owners_and_its_calls_alone(world: World) -> None:
    made = {inline(world).json()["id"], inline(world, owner="bob").json()["id"], announce(world).json()["job"]["id"]}
    assert len(made) == 3


def test_without_a_key_every_request_makes_a_job(world: World) -> None:
    assert inline(world, None).json()["id"] != inline(world, None).json()["id"]


def test_a_key_is_as_good_as_new_after_a_day(world: World) -> None:
    first = inline(world).json()["id"]
    world.now += KEPT - timedelta(seconds=1)
    assert inline(world).json()["id"] == first
    world.now += timedelta(seconds=1)
    assert inline(world, base64="YQ==").json()["id"] != first


@pytest.mark.parametrize("key", ['"key-1"', " key-1 "])
def test_a_quoted_key_is_the_same_as_a_bare_one(world: World, key: str) -> None:
    assert inline(world, key).json()["id"] == inline(world).json()["id"]


@pytest.mark.parametrize("key", ["", '""', '"a', 'a"b"', "a b", "x" * 256, f'"{"x" * 256}"', '"\\a"', "a\tb"])
def test_what_is_no_key_is_refused(world: World, key: str) -> None:
    assert problem(inline(world, key)) == (400, "idempotency_key_invalid")
    assert world.jobs.jobs == {}


def test_two_keys_are_none(world: World) -> None:
    refused = world.alice.post("/v1/jobs", json={"base64": PNG}, headers=[("idempotency-key", "a")] * 2)
    assert problem(refused) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize(
    "key", ["x" * 255, f'"{"x" * 255}"', '"a \\" b \\\\ c"', "8e03978e-40d5-43dd-bc93-6894a57f9324"]
)
def test_keys_of_every_allowed_form_are_taken(world: World, key: str) -> None:
    assert inline(world, key).json()["id"] == inline(world, key).json()["id"]


def hold(world: World) -> None:
    """Make the one claim as it was while its request was under way."""
    claims = world.documents.claims
    assert isinstance(claims, MemoryClaims)
    (claim,) = claims.claims.values()
    claims.claims[claim.id] = type(claim)(
        claim.id, claim.fingerprint, claim.made_id, world.now + HELD, claim.expires_at
    )


def test_a_repetition_while_the_first_is_under_way_is_sent_away_for_now(world: World) -> None:
    inline(world)
    hold(world)
    refused = inline(world)
    assert problem(refused) == (409, "idempotency_in_flight")
    assert (refused.headers["retry-after"], refused.json()["retryable"]) == ("1", True)
    assert problem(inline(world, base64="YQ==")) == (422, "idempotency_key_reused")


def test_a_request_whose_process_died_is_taken_up_where_it_stood(world: World) -> None:
    first = inline(world).json()
    hold(world)
    world.now += HELD
    again = inline(world)
    assert (again.status_code, again.json()["id"]) == (202, first["id"])
    assert len(world.jobs.jobs) == 1


def test_a_picture_that_was_never_sent_is_sent_by_the_next_try(world: World) -> None:
    first = inline(world).json()
    world.objects.stored.clear()
    hold(world)
    world.now += HELD
    assert inline(world).json()["id"] == first["id"]
    assert [key for _, key in world.objects.stored] == [first["source"]["key"]]


def test_a_job_whose_picture_was_sent_is_not_sent_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    inline(world)
    hold(world)
    world.now += HELD
    monkeypatch.setattr(world.objects, "put", None)
    assert inline(world).status_code == 202


def test_after_an_outage_the_same_request_goes_on_with_the_same_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_args: object, **_fields: object) -> str:
        raise storage_unavailable("objects")

    with monkeypatch.context() as away:
        away.setattr(world.objects, "put", refuse)
        assert problem(inline(world)) == (503, "storage_unavailable")
        assert problem(inline(world)) == (503, "storage_unavailable")
    (job,) = world.jobs.jobs.values()
    assert job.status is Status.FAILED
    assert [message.subject for message in world.bus.published] == [f"events.job.{job.id}.failed"]
    assert inline(world).json()["id"] == job.id
    assert ("uploads", job.source.key) in world.objects.stored


def test_a_refusal_leaves_its_key_free(world: World) -> None:
    world.add_worker("w", "lanczos")
    assert problem(inline(world, options={"model": "unheard-of"})) == (422, "model_unknown")
    assert problem(world.alice.post("/v1/jobs", json={"base64": "!"}, headers=KEY)) == (422, "request_invalid")
    assert inline(world, options={"model": "lanczos"}).status_code == 202


def test_the_store_of_keys_knows_neither_keys_nor_pictures(world: World) -> None:
    inline(world, "secret-key")
    claims = world.documents.claims
    assert isinstance(claims, MemoryClaims)
    told = json.dumps([str(claim) for claim in claims.claims.values()])
    assert "secret-key" not in told
    assert PNG not in told
