"""Who may do what: tokens, roles, and that nobody sees what belongs to somebody else."""

import re

import pytest

from api.app import TABLE
from pipeline.adapters.memory import MemoryAccounts
from pipeline.identity import fingerprint
from pipeline.job import Status
from pipeline.ports.documents import Token
from pipeline.scopes import SCOPES
from tests.unit.api.conftest import World, problem

CALLS = [(method, line.path, made.access) for line in TABLE for method, made in line.operations.items()]
NEEDED = [
    (method, line.path, made.scope_of(method))
    for line in TABLE
    for method, made in line.operations.items()
    if made.access != "public"
]
SCOPED = [call for call in NEEDED if call[2] != "any"]
#: Those without a body; `test_two_owners.py` holds all calls, on jobs of one status each.
JOB_CALLS = [
    (method, line.path)
    for line in TABLE
    for method, made in line.operations.items()
    if "{job_id}" in line.path and made.body is None
]


@pytest.mark.parametrize(("method", "path", "access"), CALLS)
def test_a_call_without_a_token_is_refused_unless_it_is_public(
    world: World, method: str, path: str, access: str
) -> None:
    answer = world.nobody.request(method, path.replace("{job_id}", "job_x"))
    if access == "public":
        assert answer.status_code == (404 if "{" in path else 200 if method == "GET" else 415)
    else:
        assert problem(answer) == (401, "token_invalid")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer enl_unknown", "Basic enl_alice", "enl_alice", f"Bearer {'x' * 300}"]
)
def test_a_header_without_a_known_token_is_refused(world: World, header: str) -> None:
    answer = world.nobody.get("/v1/jobs", headers={"authorization": header})
    assert problem(answer) == (401, "token_invalid")


def test_the_word_bearer_may_be_written_in_any_case(world: World) -> None:
    assert world.nobody.get("/v1/jobs", headers={"authorization": "bEARER enl_alice"}).status_code == 200


@pytest.mark.parametrize(("method", "path"), JOB_CALLS)
@pytest.mark.parametrize("status", Status)
def test_somebody_elses_job_answers_as_one_that_does_not_exist(
    world: World, method: str, path: str, status: Status
) -> None:
    theirs = world.add_job("alice", status)
    absent = "job_00000000000000000000000000"
    answers = [world.bob.request(method, path.replace("{job_id}", id_)) for id_ in (theirs.id, absent)]
    assert [problem(answer) for answer in answers] == [(404, "job_not_found")] * 2
    bodies = [re.sub(f"{theirs.id}|{absent}", "ID", answer.text) for answer in answers]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert bodies[0].replace(ids[0], "") == bodies[1].replace(ids[1], "")
    assert world.jobs.jobs[theirs.id] == theirs


def test_a_list_holds_the_callers_own_jobs_alone(world: World) -> None:
    hers, his = world.add_job("alice"), world.add_job("bob")
    listed = {
        name: [job["id"] for job in world.clients[name].get("/v1/jobs").json()["items"]]
        for name in world.clients
        if name != "nobody"
    }
    assert listed == {"alice": [hers.id], "bob": [his.id], "admin": []}


def test_a_key_filter_does_not_reach_into_somebody_elses_jobs(world: World) -> None:
    theirs = world.add_job("alice")
    assert world.bob.get("/v1/jobs", params={"key": theirs.source.key}).json()["items"] == []


def test_each_owner_reads_an_own_webhook_secret(world: World) -> None:
    secrets = [client.get("/v1/webhook-secret").json()["secret"] for client in (world.alice, world.bob)]
    assert secrets == ["whsec_alice", "whsec_bob"]


@pytest.mark.parametrize(("method", "path"), [call[:2] for call in CALLS if call[2] == "admin"])
def test_asvs_8_2_1_admin_calls_need_the_role_admin(world: World, method: str, path: str) -> None:
    assert problem(world.alice.request(method, path)) == (403, "token_forbidden")


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
def test_asvs_8_2_1_every_call_is_refused_to_a_token_without_its_scope(
    world: World, method: str, path: str, scope: str
) -> None:
    accounts = world.documents.accounts
    assert isinstance(accounts, MemoryAccounts)
    accounts.tokens[fingerprint("enl_less")] = Token("admin", "admin", frozenset(SCOPES) - {scope})
    refused = world.nobody.request(method, path, headers={"authorization": "Bearer enl_less"})
    assert problem(refused) == (403, "token_forbidden")
    assert scope in refused.json()["detail"]


def test_every_call_but_who_am_i_and_the_password_needs_a_scope() -> None:
    anyones = {(method, path) for method, path, scope in NEEDED if scope == "any"}
    assert anyones == {("GET", "/v1/me"), ("POST", "/v1/auth/password")}
    assert {scope for _, _, scope in NEEDED} == {*SCOPES, "any"}
