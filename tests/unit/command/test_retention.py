"""`enlarger retention` against a service in memory."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.fake_service import API, TOKEN, FakeService, refused

NOTHING: dict[str, Any] = {"jobs": 0, "uploads": 0, "outputs": 0, "documents": 0, "keys": [], "more": False}


class Attic(FakeService):
    """A service where *left* jobs have had their time; a pass takes two."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left
        self.owners: dict[str, int] = {}
        self.asked_for: dict[str, int | None] = {}
        self.stuck = False

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        rules = {"days": 30, "owners": self.owners}
        match [request.method, *request.url.path.strip("/").split("/")[2:]]:
            case ["GET", "retention"]:
                seen = {"jobs": self.left, "uploads": self.left, "keys": ["trip/a\x1b.png"], "dry_run": True}
                return httpx2.Response(200, json=NOTHING | rules | seen)
            case ["POST", "retention"]:
                taken = 0 if self.stuck else min(2, self.left)
                self.left -= taken
                done = {"jobs": taken, "outputs": 3 * taken, "more": self.left > 0, "dry_run": False}
                return httpx2.Response(200, json=NOTHING | rules | done)
            case ["PUT", "retention", owner] if owner != "nobody":
                self.asked_for[owner] = json.loads(request.content)["days"]
                return httpx2.Response(200, json=NOTHING | rules | {"dry_run": True})
            case _:
                return refused(404, "owner_not_found", "There is no such owner.", "Use one that is.")


@pytest.fixture
def attic() -> Attic:
    return Attic(5)


def run(attic: Attic, *args: str) -> Result:
    session = Session({"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}, Path(), lambda _url, _token: attic.client())
    return CliRunner().invoke(app, ["retention", *args], obj=session)


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_dry_run_tells_counts_rules_and_keys_and_removes_nothing(attic: Attic, flags: tuple[str, ...]) -> None:
    attic.owners["alice"] = 0
    told = run(attic, *flags)
    assert (told.exit_code, attic.left) == (0, 5)
    lines = [" ".join(line.split()) for line in told.stdout.splitlines()]
    assert {"announced jobs 30", "alice for ever", "jobs 5", "trip/a\N{REPLACEMENT CHARACTER}.png"} <= set(lines)
    assert json.loads(run(attic, *flags, "--json").stdout)["jobs"] == 5


def test_now_goes_on_until_nothing_is_left(attic: Attic) -> None:
    done = json.loads(run(attic, "--now", "--json").stdout)
    assert (done["jobs"], done["outputs"], done["more"], attic.left) == (5, 15, False, 0)
    assert len(attic.asked("POST", "retention")) == 3


def test_now_ends_where_nothing_moves(attic: Attic) -> None:
    attic.stuck = True
    done = run(attic, "--now")
    assert "more than 0" in done.stdout
    assert len(attic.asked("POST", "retention")) == 1


@pytest.mark.parametrize(("text", "days"), [("30", 30), ("0", 0), ("default", None)])
def test_an_owner_gets_a_value_of_their_own(attic: Attic, text: str, days: int | None) -> None:
    assert run(attic, "--owner", "alice", "--days", text).exit_code == 0
    assert attic.asked_for == {"alice": days}


@pytest.mark.parametrize(
    "flags",
    [
        ("--dry-run", "--now"),
        ("--owner", "alice"),
        ("--days", "3"),
        ("--owner", "alice", "--days", "-1"),
        ("--owner", "alice", "--days", "many"),
    ],
)
def test_a_contradiction_is_a_usage_error(attic: Attic, flags: tuple[str, ...]) -> None:
    assert run(attic, *flags).exit_code == 2
    assert attic.requests == []


def test_an_unknown_owner_is_an_error(attic: Attic) -> None:
    done = run(attic, "--owner", "nobody", "--days", "3")
    assert done.exit_code == 1
    assert "owner_not_found" in done.stderr
