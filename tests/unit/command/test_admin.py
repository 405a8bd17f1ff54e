"""`enlarger sweep` against a service in memory."""

import json
from pathlib import Path

import httpx2
from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.fake_service import API, TOKEN, FakeService, FakeTime, refused

FOUND = {"examined": 1200, "found": 2, "restored": 1, "relayed": 0}


class Swept(FakeService):
    """A service that has just found what was lost."""

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        assert (request.method, request.url.path) == ("POST", "/v1/admin/sweep")
        return httpx2.Response(200, json=FOUND)


class Alone(Swept):
    """A service without ingest."""

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        return refused(503, "unanswered", "No process answered ask.sweep.", "See that `python -m ingest` runs.")


def run(service: FakeService, *args: str) -> Result:
    time = FakeTime()
    session = Session({"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}, Path(), lambda _url, _token: service.client(time))
    result = CliRunner().invoke(app, ["sweep", *args], obj=session, catch_exceptions=False)
    assert time.slept == []
    return result


def test_what_was_found_is_counted_in_words() -> None:
    result = run(Swept())
    assert result.exit_code == 0
    rows = [line.split()[:2] for line in result.stdout.splitlines()[1:]]
    assert rows == [[str(count), name] for name, count in FOUND.items()]


def test_what_was_found_is_printed_as_the_service_tells_it() -> None:
    assert json.loads(run(Swept(), "--json").stdout) == FOUND


def test_without_an_ingest_it_says_so_at_once_and_fails() -> None:
    service = Alone()
    result = run(service)
    assert (result.exit_code, result.stdout, len(service.requests)) == (1, "", 1)
    assert "unanswered" in result.stderr
    assert "python -m ingest" in result.stderr
