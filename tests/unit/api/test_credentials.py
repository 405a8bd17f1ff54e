"""S3 credentials over HTTP: made, listed without a secret, revoked; for admins alone."""

import pytest

from tests.unit.api.conftest import World, pointers, problem

PATH = "/v1/admin/s3-credentials"


def test_a_credential_is_told_once_with_all_that_a_client_needs(world: World) -> None:
    made = world.admin.post(PATH, json={"user": "alice"})
    assert made.status_code == 201
    told = made.json()
    secret = told.pop("secret_key")
    assert told == {
        "access_key": told["access_key"],
        "user": "alice",
        "endpoint": "http://objects.test:9000",
        "region": "us-east-1",
        "uploads": "s3://uploads/~alice/",
        "outputs": "s3://outputs/~alice/",
    }
    listed = world.admin.get(PATH)
    assert listed.json() == {"items": [{"access_key": told["access_key"], "user": "alice"}]}
    assert secret not in listed.text


def test_a_credential_is_revoked_once(world: World) -> None:
    access_key = world.admin.post(PATH, json={"user": "alice"}).json()["access_key"]
    assert world.admin.delete(f"{PATH}/{access_key}").status_code == 204
    assert problem(world.admin.delete(f"{PATH}/{access_key}")) == (404, "credential_not_found")
    assert world.admin.get(PATH).json() == {"items": []}


@pytest.mark.parametrize(
    "user", ["", "*", "a*", "a?", "a/b", "..", "~alice", "${aws:username}", "é", "a" * 65, 5, None]
)
def test_a_user_whose_name_could_reach_beyond_one_home_is_refused(world: World, user: object) -> None:
    assert pointers(world.admin.post(PATH, json={"user": user})) == ["#/user"]
    assert world.admin.get(PATH).json() == {"items": []}


def test_credentials_are_for_admins(world: World) -> None:
    access_key = world.admin.post(PATH, json={"user": "alice"}).json()["access_key"]
    refusals = [world.alice.get(PATH), world.alice.post(PATH, json={"user": "bob"})]
    refusals.append(world.alice.delete(f"{PATH}/{access_key}"))
    assert {problem(refusal) for refusal in refusals} == {(403, "token_forbidden")}
    assert len(world.admin.get(PATH).json()["items"]) == 1
