"""OWASP ASVS 5.0, chapters 3 (what browsers do with answers) and 4 (the API as such), a test per item."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from api.app import TABLE, create_app
from tests.unit.api.conftest import World, problem
from tests.unit.api.people import bearer, log_in, register
from tests.unit.api.test_service import announcing
from tests.unit.api.test_two_owners import kept
from tests.unit.api.two_owners import ROWS, belongings, call

CALLS = [f"{method} {line.path}" for line in TABLE for method in line.operations]
KNOWN = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "XYZ"}
#: Types that a browser shows without running anything in them.
INERT = {"application/json", "application/problem+json", "application/x-ndjson", "text/plain", "text/event-stream"}
#: Pages for people have a policy and a type of their own, and tests of their own.
PAGES = {"/docs", "/examples"}


def settled(world: World) -> dict[str, str]:
    """What alice has, in a world whose targets announce, so that the doctor need not wait for them."""
    announcing(world, pytest.MonkeyPatch(), "uploads.fast", "uploads.durable")
    return belongings(world)


def csp(answer: httpx2.Response) -> dict[str, str]:
    policy = answer.headers["content-security-policy"]
    return {name: value for name, _, value in (part.strip().partition(" ") for part in policy.split(";"))}


@pytest.fixture(scope="module")
def answered() -> dict[str, list[httpx2.Response]]:
    """What each call has answered: it is made once, and looked at by every test."""
    return {}


@pytest.fixture(params=[row for row in CALLS if row in ROWS and not row.split()[1].startswith(tuple(PAGES))])
def answers(request: pytest.FixtureRequest, answered: dict[str, list[httpx2.Response]]) -> list[httpx2.Response]:
    """What a call answers to its owner, to somebody else, to nobody, and to a body that is none."""
    if request.param not in answered:
        answered[request.param] = _ask(request.getfixturevalue("world"), request.param)
    return answered[request.param]


def _ask(world: World, row: str) -> list[httpx2.Response]:
    things = settled(world)
    made = [call(world, caller, row, things) for caller in ("nobody", "bob", "admin", "alice")]
    method, path = row.split()
    return [*made, world.alice.request(method, path, content=b"\xff", headers={"content-type": "application/json"})]


def test_asvs_3_4_3_to_3_4_6_every_answer_has_its_headers_whatever_it_is(answers: list[httpx2.Response]) -> None:
    """3.4.3 a policy that lets nothing in, 3.4.4 nosniff, 3.4.5 no referrer, 3.4.6 nobody frames it."""
    for answer in answers:
        policy = csp(answer)
        assert {policy[name] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")} == {"'none'"}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_asvs_3_2_1_and_3_5_8_no_answer_becomes_a_page_or_part_of_another(answers: list[httpx2.Response]) -> None:
    for answer in answers:
        saved = answer.headers.get("content-disposition", "").startswith("attachment")
        if answer.content and not saved:
            assert answer.headers["content-type"].partition(";")[0] in INERT
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_asvs_4_1_1_text_says_its_character_set(answers: list[httpx2.Response]) -> None:
    for answer in answers:
        kind, _, parameters = answer.headers.get("content-type", "").partition(";")
        assert not kind.startswith("text/") or "charset=utf-8" in parameters.lower()


def test_asvs_14_3_2_nothing_is_kept_in_a_cache(answers: list[httpx2.Response]) -> None:
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


def test_asvs_3_3_x_and_3_5_1_there_are_no_cookies_that_another_site_could_use(answers: list[httpx2.Response]) -> None:
    """Whoever calls shows a bearer token, which no browser adds by itself: no call can be forged (3.5.1, 3.5.2)."""
    assert not any("set-cookie" in answer.headers for answer in answers)


@pytest.mark.parametrize("row", [call_ for call_ in CALLS if call_.split()[0] != "GET"])
def test_asvs_3_5_1_a_call_from_another_sites_page_changes_nothing(world: World, row: str) -> None:
    method, path = row.split()
    forged = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "cookie": "token=enl_alice"}
    headers = forged | {"content-type": "text/plain"}
    refused = world.nobody.request(method, path, headers=headers, content=b"{}")
    assert refused.status_code in (401, 415)
    assert "access-control-allow-origin" not in refused.headers
    assert world.jobs.jobs == {}


#: It makes the picture that it answers, which goes again within two hours; nothing that was there is changed.
THUMBNAIL = "GET /v1/jobs/{job_id}/thumbnail"


@pytest.mark.parametrize("row", [one for one in CALLS if one.startswith("GET ") and one in ROWS and one != THUMBNAIL])
def test_asvs_3_5_3_no_read_changes_anything(world: World, row: str) -> None:
    things = settled(world)
    before = kept(world)
    for caller in ("alice", "admin"):
        call(world, caller, row, things)
    assert kept(world) == before


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.path)
def test_asvs_4_1_4_a_method_that_is_not_used_is_refused(world: World, line: Any) -> None:
    used = set(line.operations) | ({"HEAD"} if "GET" in line.operations else set())
    for method in sorted(KNOWN - used):
        refused = world.admin.request(method, line.path)
        assert refused.status_code == 405, method
        assert method == "HEAD" or refused.json()["code"] == "method_not_allowed"
        assert set(refused.headers["allow"].split(", ")) == used


@pytest.mark.parametrize("name", ["x-http-method-override", "x-method-override", "x-http-method"])
def test_asvs_4_1_4_no_header_makes_another_method_of_one(world: World, name: str) -> None:
    hook = world.alice.post("/v1/webhooks", json={"url": "https://a.example/"}).json()["id"]
    assert world.alice.get(f"/v1/webhooks/{hook}?_method=DELETE", headers={name: "DELETE"}).status_code == 200
    assert world.alice.get(f"/v1/webhooks/{hook}").status_code == 200


@pytest.mark.parametrize("row", [call_ for call_ in CALLS if call_ in ROWS and ROWS[call_].json is not None])
def test_asvs_4_1_5_a_body_is_taken_as_the_type_that_it_says_alone(world: World, row: str) -> None:
    """No guess at what a form or a plain text may have meant: that is what another site's page can send."""
    method, path = row.split()
    caller = bearer(log_in(world)) if row == "POST /v1/auth/password" and register(world) else {}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", ""):
        refused = world.admin.request(method, path, content=b"{}", headers={"content-type": kind} | caller)
        assert problem(refused) == (415, "type_unsupported")


@contextmanager
def running(world: World, *, public_url: str = "http://api.test", **options: Any) -> Iterator[TestClient]:
    """Another application on the same services."""
    assert world.app is not None
    services: Any = world.app.app_state | {"public_url": public_url}
    with TestClient(create_app(lambda: nullcontext(services), **options), base_url="http://api.test") as client:
        yield client


@pytest.mark.parametrize(("url", "told"), [("http://api.test", None), ("https://api.test", "max-age=31536000")])
def test_asvs_3_4_1_who_is_called_by_https_says_that_it_stays_so(world: World, url: str, told: str | None) -> None:
    with running(world, public_url=url) as client:
        for path in ("/health/live", "/v1/jobs", "/nothing"):
            assert client.get(path).headers.get("strict-transport-security") == told


@pytest.mark.parametrize("origins", [(), ("https://ours.example",), ("*",)])
def test_asvs_3_4_2_other_origins_read_only_where_they_are_listed_and_never_with_cookies(
    world: World, origins: tuple[str, ...]
) -> None:
    asking = ("https://ours.example", "https://evil.example", "https://ours.example.evil.example", "null")
    with running(world, cors_origins=origins) as client:
        for origin in asking:
            allowed = "*" if origins == ("*",) else origin if origin in origins else None
            for path in ("/health/live", "/v1/jobs", "/nothing"):
                headers = client.get(path, headers={"origin": origin}).headers
                assert headers.get("access-control-allow-origin") == allowed
                assert "access-control-allow-credentials" not in headers
