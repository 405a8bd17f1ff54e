"""What a page of another site may do with a service that needs no token: nothing, unless it is trusted."""

from typing import Any

import httpx2
import pytest

from tests.unit.api.dialects.conftest import House, Open, bearer, picture

#: A form that a page of another site submits: no preflight asks for leave.
EVIL = {"origin": "https://evil.test", "sec-fetch-site": "cross-site"}
UNSAFE = [
    ("POST", "/upscale"),
    ("POST", "/api/v1/uploads"),
    ("DELETE", "/job/01a1fdbf-8ad6-86f5-9054-ab1765e82ec7"),
    ("POST", "/auth/register"),
    ("POST", "/auth/login"),
    ("POST", "/api/register"),
    ("POST", "/api/login"),
    ("POST", "/admin/login"),
]


def upload(opened: Open, headers: dict[str, str], cors: tuple[str, ...] = ()) -> int:
    """The status of a form for `status`, and whether a job came of it."""
    house, client = opened(cors=cors)
    with client:
        status = int(client.post("/upscale", files=picture(), headers=headers).status_code)
    assert bool(house.jobs.jobs) is (status == 200)
    return status


@pytest.mark.parametrize(("method", "path"), UNSAFE)
def test_nothing_is_done_without_a_token_for_a_page_of_another_site(opened: Open, method: str, path: str) -> None:
    house, client = opened(cors=("https://page.test",))
    with client:
        answer = client.request(method, path, headers=EVIL, content=b"{}")
    assert (answer.status_code, answer.json()["detail"][:22]) == (403, "A page of another site")
    assert not house.jobs.jobs


@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl
        {"origin": "http://api.test"},  # our own page, in a browser that says no more
        {"origin": "http://api.test", "sec-fetch-site": "same-origin"},
        {"origin": "http://api.test", "host": "inside:8000"},  # through a proxy
        {"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"},
        {"origin": "http://localhost:8000", "host": "localhost:8000"},
        {"sec-fetch-site": "none"},  # typed into the address bar
    ],
)
def test_what_is_no_page_of_another_site_is_let_through(opened: Open, headers: dict[str, str]) -> None:
    assert upload(opened, headers) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "http://api.test:81"},
        {"origin": "http://localhost:3000", "host": "localhost:8000", "sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://api.test", "sec-fetch-site": "cross-site"},
        {"origin": "http://evil.test:8000", "host": "evil.test:8000"},  # a name that was pointed at us
        {"origin": "http://[", "host": "["},
        {"origin": "https://evil.test", "authorization": "Basic eDp5"},  # from the address https://x:y@api.test
    ],
)
def test_pages_of_others_are_refused_whatever_the_browser_says(opened: Open, headers: dict[str, str]) -> None:
    assert upload(opened, headers) == 403


@pytest.mark.parametrize(
    ("cors", "origin", "status"),
    [
        (("https://page.test",), "https://page.test", 200),
        (("https://page.test",), "null", 403),
        (("https://page.test",), "https://page.test.evil.test", 403),
        (("null",), "null", 200),
        (("*",), "https://evil.test", 200),
        (("*",), "null", 200),
    ],
)
def test_pages_that_are_trusted_are_let_through(opened: Open, cors: tuple[str, ...], origin: str, status: int) -> None:
    headers = {"origin": origin, "sec-fetch-site": "cross-site"}
    assert upload(opened, headers, cors) == status


def test_whoever_has_a_token_shows_it(opened: Open) -> None:
    assert upload(opened, EVIL | bearer("enl_alice")) == 200


@pytest.mark.parametrize("path", ["/health", "/upscale", "/metrics", "/api/v1/health"])
def test_reading_is_never_refused(opened: Open, path: str) -> None:
    _, client = opened(cors=())
    with client:
        assert client.get(path, headers=EVIL).status_code == 200


def test_our_own_ways_in_need_a_token_or_a_preflight(house: House) -> None:
    sent: dict[str, Any] = {"content": b'{"email": "a@b.test", "password": "a plain sentence"}'}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer: httpx2.Response = house.client.post("/v1/auth/register", headers=EVIL | {"content-type": kind}, **sent)
        assert answer.status_code == 415  # what a page can send without asking is not taken
    assert house.client.post("/v1/jobs", headers=EVIL, files=picture()).status_code == 401
