"""Links to outputs: for anybody, until they expire, and to nothing else."""

from datetime import timedelta

import jwt
import pytest

from api.links import AUDIENCE, TYPE
from enlarger import Client
from pipeline.job import Job, Status
from tests.unit.api.conftest import NOW, RULES, TOKENS, World, pointers, problem
from tests.unit.api.test_downloads import BODY, finished


def linked(world: World, job: Job, **body: object) -> tuple[str, str]:
    answer = world.alice.post(f"/v1/jobs/{job.id}/links", json=body)
    assert answer.status_code == 201
    return answer.json()["url"].removeprefix("http://api.test"), answer.json()["expires_at"]


def test_a_link_works_for_anybody_and_without_a_token_until_its_time_is_over(world: World) -> None:
    path, expires_at = linked(world, finished(world), expires_seconds=120)
    assert expires_at == "2026-11-01T12:02:00Z"
    assert world.nobody.get(path).content == BODY
    assert world.nobody.get(path, headers={"range": "bytes=0-3"}).content == BODY[:4]
    world.now = NOW + timedelta(seconds=119)
    assert world.bob.get(path).status_code == 200
    world.now = NOW + timedelta(seconds=120)
    assert problem(world.nobody.get(path)) == (410, "link_expired")


def test_a_link_is_good_for_a_day_unless_its_maker_says_otherwise(world: World) -> None:
    assert linked(world, finished(world))[1] == "2026-11-02T12:00:00Z"


@pytest.mark.parametrize("seconds", [0, 59, 30 * 86400 + 1, "60", True, 60.5])
def test_a_link_works_a_minute_at_least_and_thirty_days_at_most(world: World, seconds: object) -> None:
    answer = world.alice.post(f"/v1/jobs/{finished(world).id}/links", json={"expires_seconds": seconds})
    assert pointers(answer) == ["#/expires_seconds"]


def test_nobody_links_to_what_is_not_theirs_or_not_there(world: World) -> None:
    job = finished(world)
    assert problem(world.bob.post(f"/v1/jobs/{job.id}/links", json={})) == (404, "job_not_found")
    assert problem(world.alice.post(f"/v1/jobs/{world.add_job().id}/links", json={})) == (409, "job_not_finished")


def test_a_link_leads_to_the_output_that_was_meant_and_to_no_later_one(world: World) -> None:
    job = finished(world)
    path, _ = linked(world, job)
    newer = finished(world, body=b"newer").outputs[0]
    assert problem(world.nobody.get(path)) == (410, "output_expired")
    world.jobs.jobs[job.id] = job.model_copy(update={"outputs": (newer,)})
    assert problem(world.nobody.get(path)) == (410, "link_expired")
    del world.jobs.jobs[job.id]
    assert problem(world.nobody.get(path)) == (410, "link_expired")


def test_a_link_ends_while_the_account_of_its_maker_is_disabled(world: World) -> None:
    account = {"email": "alice@example.com", "password": "a plain sentence", "owner": "alice"}
    assert world.admin.post("/v1/admin/users", json=account).status_code == 201
    path, _ = linked(world, finished(world))
    for disabled, status in ((False, 200), (True, 410), (False, 200)):
        world.admin.patch("/v1/admin/users/alice", json={"disabled": disabled}).raise_for_status()
        assert world.nobody.get(path).status_code == status


def test_asvs_9_1_2_a_link_that_was_changed_or_signed_by_another_is_none(world: World) -> None:
    job = finished(world)
    path, _ = linked(world, job)
    claims = {"sub": job.id, "etag": job.outputs[0].etag, "aud": AUDIENCE, "iss": "enlarger", "exp": 2**33}
    forged = [
        jwt.encode(claims, "x" * 40, "HS256", {"typ": TYPE}),
        jwt.encode(claims, "", "none", {"typ": TYPE}),
        jwt.encode(claims, RULES.key, "HS256", {"typ": "at+jwt"}),
        jwt.encode({**claims, "aud": "enlarger-api"}, RULES.key, "HS256", {"typ": TYPE}),
        path.rpartition("/")[2][:-2],
        "nonsense",
    ]
    assert world.nobody.get(f"/v1/links/{jwt.encode(claims, RULES.key, 'HS256', {'typ': TYPE})}").status_code == 200
    for token in forged:
        assert problem(world.nobody.get(f"/v1/links/{token}")) == (404, "link_not_found")


def test_asvs_9_2_2_a_link_is_no_access_token(world: World) -> None:
    token = linked(world, finished(world))[0].rpartition("/")[2]
    answer = world.nobody.get("/v1/jobs", headers={"authorization": f"Bearer {token}"})
    assert problem(answer) == (401, "token_invalid")


def test_a_reader_may_make_links(world: World) -> None:
    made = world.alice.post("/v1/tokens", json={"name": "reader", "scopes": ["jobs:read"]}).json()
    headers = {"authorization": f"Bearer {made['secret']}"}
    job = finished(world)
    assert world.nobody.post(f"/v1/jobs/{job.id}/links", json={}, headers=headers).status_code == 201
    assert job.status is Status.SUCCEEDED


def test_the_sdk_makes_a_link_that_works(world: World) -> None:
    job = finished(world)
    with Client("http://api.test", TOKENS["alice"], transport=world.alice._transport) as client:
        link = client.link(job.id, expires_seconds=120)
    assert link.expires_at == NOW + timedelta(seconds=120)
    assert world.nobody.get(link.url.removeprefix("http://api.test")).content == BODY
