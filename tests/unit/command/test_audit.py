"""`enlarger audit` against a service in memory."""

import json
from pathlib import Path

import httpx2
from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.fake_service import API, TOKEN, FakeService

ENTRY = {
    "at": "2026-11-01T12:00:00Z",
    "by": "default",
    "credential": None,
    "action": "PATCH /v1/admin/users/{owner}",
    "target": "/v1/admin/users/usr_1",
    "address": "127.0.0.1",
    "request_id": "r1",
    "status": 200,
    "details": {"role": "admin", "password": "replaced"},
}


class Archive(FakeService):
    """A service with three entries, two to a page."""

    entries = tuple(
        ENTRY | {"id": f"aud_{number}", "status": status} for number, status in ((3, None), (2, 404), (1, 200))
    )

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        assert (request.method, request.url.path) == ("GET", "/v1/admin/audit")
        found = self.entries[2:] if request.url.params.get("cursor") == "aud_2" else self.entries[:2]
        cursor = "aud_2" if len(found) == 2 else None
        return httpx2.Response(200, json={"items": found, "next_cursor": cursor})


def run(*args: str) -> Result:
    session = Session({"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}, Path(), lambda _url, _token: Archive().client())
    return CliRunner().invoke(app, ["audit", *args], obj=session, catch_exceptions=False)


def test_what_admins_did_is_listed_newest_first_over_all_pages() -> None:
    shown = json.loads(run("--json").stdout)["items"]
    assert shown == list(Archive.entries)
    assert [entry["id"] for entry in json.loads(run("--limit", "2", "--json").stdout)["items"]] == ["aud_3", "aud_2"]


def test_a_person_reads_who_did_what_and_how_it_ended() -> None:
    printed = " ".join(run("--limit", "1").stdout.split())
    for said in ("2026-11-01 12:00:00Z", "default", "PATCH", "/v1/admin/users/usr_1", "unknown", "role admin"):
        assert said in printed
