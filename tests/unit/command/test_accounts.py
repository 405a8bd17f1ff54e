"""`enlarger tokens` and `enlarger admin create`, against a service that plays its part."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.fake_service import API, TOKEN, FakeService, FakeTime, refused

MADE = {"id": "tok_1", "name": "camera", "hint": "enl_abcd…wxyz", "scopes": ["jobs:read"], "created_at": None}
SECRET = "enl_abcdefghwxyz"


class Office(FakeService):
    """A service that keeps tokens and accounts."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: dict[str, dict[str, Any]] = {}
        self.said: list[dict[str, Any]] = []

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        self.said.append(json.loads(request.content or "{}"))
        match [request.method, *request.url.path.split("/")[2:]]:
            case ["POST", "tokens"]:
                self.tokens["tok_1"] = MADE | self.said[-1]
                return httpx2.Response(201, json={"token": self.tokens["tok_1"], "secret": SECRET})
            case ["GET", "tokens"]:
                return httpx2.Response(200, json={"items": list(self.tokens.values())})
            case ["DELETE", "tokens", id_] if self.tokens.pop(id_, None):
                return httpx2.Response(204)
            case ["DELETE", "tokens", _]:
                return refused(404, "token_not_found", "There is no such token.", "List them.")
            case ["POST", "admin", "users"]:
                return httpx2.Response(201, json={"owner": "usr_1", "disabled": False} | self.said[-1])
        raise AssertionError(request.url.path)


@pytest.fixture
def office() -> Office:
    return Office()


def run(office: Office, *args: str, stdin: str = "") -> Result:
    time = FakeTime()
    session = Session({"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}, Path(), lambda _url, _token: office.client(time))
    return CliRunner().invoke(app, args, obj=session, input=stdin)


def test_a_token_is_printed_alone_so_that_a_script_can_keep_it(office: Office) -> None:
    asked = ("--scope", "jobs:read", "--scope", "jobs:write", "--days", "90")
    assert run(office, "tokens", "create", "camera", *asked).stdout == f"{SECRET}\n"
    assert office.said == [{"name": "camera", "scopes": ["jobs:read", "jobs:write"], "expires_in_days": 90}]


def test_what_is_not_said_of_a_token_is_the_service_s_choice(office: Office) -> None:
    told = json.loads(run(office, "tokens", "create", "camera", "--json").stdout)
    assert (told["secret"], told["token"]["id"]) == (SECRET, "tok_1")
    assert office.said == [{"name": "camera"}]


def test_tokens_are_listed_without_their_secrets(office: Office) -> None:
    run(office, "tokens", "create", "camera")
    listed = run(office, "tokens", "ls")
    assert all(word in listed.stdout for word in ("tok_1", "camera", "jobs:read", "never"))
    items = json.loads(run(office, "tokens", "ls", "--json").stdout)["items"]
    assert [item["hint"] for item in items] == ["enl_abcd…wxyz"]
    assert SECRET not in listed.stdout


def test_a_token_is_revoked_once(office: Office) -> None:
    run(office, "tokens", "create", "camera")
    assert json.loads(run(office, "tokens", "revoke", "tok_1", "--json").stdout) == {"revoked": "tok_1"}
    again = run(office, "tokens", "revoke", "tok_1")
    assert (again.exit_code, "token_not_found" in again.stderr) == (1, True)


def test_an_admin_is_made_with_a_password_from_stdin(office: Office) -> None:
    made = run(office, "admin", "create", "carol@example.com", "--password-stdin", stdin=" a plain sentence\nmore\n")
    assert made.stdout == "carol@example.com is an admin now, as owner usr_1\n"
    assert office.said == [{"email": "carol@example.com", "password": " a plain sentence", "role": "admin"}]


def test_a_password_is_asked_for_twice_and_not_shown(office: Office) -> None:
    typed = "a plain sentence\na plain sentence\n"
    made = run(office, "admin", "create", "carol@example.com", "--owner", "default", "--json", stdin=typed)
    assert json.loads(made.stdout)["owner"] == "default"
    assert office.said[0]["password"] == "a plain sentence"
    assert "plain" not in made.stderr
