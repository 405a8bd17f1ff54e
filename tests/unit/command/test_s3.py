"""`enlarger prefixes` and `enlarger s3 credentials`, against a service that plays its part."""

import json
import shlex
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.fake_service import API, TOKEN, FakeService, refused

HOME = {"region": "us-east-1", "endpoint": "http://s3.test", "uploads": "s3://uploads/~alice/", "outputs": "s3://o/"}


class Keeper(FakeService):
    """A service that keeps presets of prefixes and credentials of homes."""

    def __init__(self) -> None:
        super().__init__()
        self.bound: dict[str, dict[str, str]] = {}
        self.users: dict[str, str] = {}

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        said = json.loads(request.content) if request.content else dict(request.url.params)
        status, answer = self._answer(request.method, request.url.path.split("/")[3:], said)
        return (
            refused(404, "prefix_not_found", "There is none.", "List them.") if status == 404 else _json(status, answer)
        )

    def _answer(self, method: str, path: list[str], said: dict[str, str]) -> tuple[int, object]:
        made: dict[str, str] = {"access_key": "ENL1", "secret_key": "5ec4e7"}
        match [method, *path]:
            case ["PUT", "prefixes"]:
                self.bound[said["prefix"]] = {"owner": "default"} | said
                answer: tuple[int, object] = 200, self.bound[said["prefix"]]
            case ["GET", "prefixes"]:
                answer = 200, {"items": list(self.bound.values())}
            case ["POST", "s3-credentials"]:
                self.users["ENL1"] = said["user"]
                answer = 201, made | said | HOME
            case ["GET", "s3-credentials"]:
                answer = 200, {"items": [{"access_key": key, "user": user} for key, user in self.users.items()]}
            case ["DELETE", "prefixes"]:
                answer = 204 if self.bound.pop(said["prefix"], None) else 404, None
            case ["DELETE", "s3-credentials", key]:
                answer = 204 if self.users.pop(key, None) else 404, None
            case _:
                answer = 404, None
        return answer


def _json(status: int, answer: object) -> httpx2.Response:
    return httpx2.Response(status) if answer is None else httpx2.Response(status, json=answer)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


def run(keeper: Keeper, *args: str) -> Result:
    session = Session({"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}, Path(), lambda _url, _token: keeper.client())
    return CliRunner().invoke(app, args, obj=session)


def test_a_preset_is_set_listed_and_unset(keeper: Keeper) -> None:
    bound = {"owner": "default", "prefix": "trip/", "preset": "photo"}
    assert json.loads(run(keeper, "prefixes", "set", "trip/", "photo", "--json").stdout) == bound
    assert json.loads(run(keeper, "prefixes", "ls", "--json").stdout) == {"items": [bound]}
    assert run(keeper, "prefixes", "ls").stdout.split()[-3:] == ["default", "trip/", "photo"]
    assert json.loads(run(keeper, "prefixes", "unset", "trip/", "--json").stdout) == {"unset": "trip/"}
    again = run(keeper, "prefixes", "unset", "trip/")
    assert (again.exit_code, "prefix_not_found" in again.stderr) == (1, True)


def test_all_jobs_of_an_owner_are_the_empty_prefix(keeper: Keeper) -> None:
    assert "(all keys)" in run(keeper, "prefixes", "set", "", "art", "--owner", "bob").stdout
    assert keeper.bound == {"": {"owner": "bob", "prefix": "", "preset": "art"}}
    assert run(keeper, "prefixes", "unset", "", "--owner", "bob").exit_code == 0
    assert dict(keeper.requests[-1].url.params) == {"prefix": "", "owner": "bob"}


def test_a_credential_comes_as_lines_for_a_shell_with_its_secret_once(keeper: Keeper) -> None:
    lines = [
        shlex.split(line) for line in run(keeper, "s3", "credentials", "create", "--user", "alice").stdout.splitlines()
    ]
    settings = {line[3]: line[4] for line in lines if line[1] == "configure"}
    assert settings == {
        "aws_access_key_id": "ENL1",
        "aws_secret_access_key": "5ec4e7",
        "region": "us-east-1",
        "endpoint_url": "http://s3.test",
    }
    assert lines[-1] == ["aws", "--profile", "enlarger-alice", "s3", "ls", "s3://uploads/~alice/"]
    listed = run(keeper, "s3", "credentials", "ls", "--json").stdout
    assert json.loads(listed) == {"items": [{"access_key": "ENL1", "user": "alice"}]}
    assert "alice" in run(keeper, "s3", "credentials", "ls").stdout


def test_a_credential_is_told_as_the_service_said_it(keeper: Keeper) -> None:
    told = json.loads(run(keeper, "s3", "credentials", "create", "--user", "alice", "--json").stdout)
    assert told == {"access_key": "ENL1", "user": "alice", "secret_key": "5ec4e7"} | HOME


def test_a_credential_is_revoked_once(keeper: Keeper) -> None:
    keeper.users["ENL1"] = "alice"
    assert json.loads(run(keeper, "s3", "credentials", "revoke", "ENL1", "--json").stdout) == {"revoked": "ENL1"}
    assert run(keeper, "s3", "credentials", "revoke", "ENL1").exit_code == 1
