"""`enlarger dead` against a service in memory."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.fake_service import API, TOKEN, FakeService, refused


class Morgue(FakeService):
    """A service with letters, two to a page."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: dict[str, dict[str, Any]] = {}
        self.sent: list[str] = []

    def bury(self, *bodies: str) -> None:
        for body in bodies:
            id_ = str(len(self.letters) + 1)
            letter = {"id": id_, "written_at": "2026-01-01T00:00:00Z", "subject": "jobs.upscale.bulk", "error": "torn"}
            self.letters[id_] = letter | {"body": body}

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        match [request.method, *request.url.path.strip("/").split("/")[2:]]:
            case ["GET", "dead"]:
                after = int(request.url.params.get("cursor", 0))
                found = [letter for id_, letter in self.letters.items() if int(id_) > after]
                cursor = found[1]["id"] if len(found) > 2 else None
                return httpx2.Response(200, json={"items": found[:2], "next_cursor": cursor})
            case ["GET", "dead", id_] if id_ in self.letters:
                return httpx2.Response(200, json=self.letters[id_])
            case ["POST", "dead", id_, "replay"] if id_ in self.letters:
                self.sent.append(id_)
                return httpx2.Response(200, json=self.letters.pop(id_))
            case ["DELETE", "dead", id_] if id_ in self.letters:
                del self.letters[id_]
                return httpx2.Response(204)
            case _:
                return refused(404, "letter_not_found", "There is no such letter.", "List them.")


@pytest.fixture
def morgue() -> Morgue:
    service = Morgue()
    service.bury("first", "second\x1b[2J", "third")
    return service


def run(morgue: Morgue, *args: str) -> Result:
    session = Session({"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}, Path(), lambda _url, _token: morgue.client())
    return CliRunner().invoke(app, ["dead", *args], obj=session, catch_exceptions=False)


def test_every_letter_is_listed_page_after_page(morgue: Morgue) -> None:
    listed = run(morgue, "ls").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["letter", "1", "2", "3"]
    assert all("jobs.upscale.bulk" in line and "torn" in line for line in listed[1:])
    assert [item["id"] for item in json.loads(run(morgue, "ls", "--limit", "1", "--json").stdout)["items"]] == ["1"]


def test_a_letter_is_shown_with_its_body_which_cannot_control_the_terminal(morgue: Morgue) -> None:
    shown = run(morgue, "show", "2").stdout
    assert "second\N{REPLACEMENT CHARACTER}[2J" in shown
    assert json.loads(run(morgue, "show", "2", "--json").stdout) == morgue.letters["2"]


def test_letters_are_sent_again_and_the_one_that_is_unknown_is_named(morgue: Morgue) -> None:
    result = run(morgue, "replay", "1", "9", "3", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"replayed": ["1", "3"]})
    assert "letter_not_found" in result.stderr
    assert (morgue.sent, list(morgue.letters)) == (["1", "3"], ["2"])


def test_letters_are_discarded_without_being_sent(morgue: Morgue) -> None:
    result = run(morgue, "discard", "1", "2")
    assert (result.exit_code, morgue.sent, list(morgue.letters)) == (0, [], ["3"])
    assert result.stdout.count("discarded") == 2


def test_a_letter_that_is_not_there_is_an_error(morgue: Morgue) -> None:
    result = run(morgue, "show", "7")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "letter_not_found" in result.stderr
