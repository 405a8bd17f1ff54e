"""Submitting the address of a picture: what is fetched, what is refused, and what nobody learns by it."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from api import fetching
from tests.unit.api.conftest import MAX_UPLOAD_BYTES, World, pointers, problem

PNG = b"\x89PNG\r\n\x1a\n picture"
UNDECLARED = -1
Page = tuple[int, Mapping[str, str], bytes]


@dataclass
class Site:
    """A web server on loopback, by path; `asked` has what was asked of it, with the headers."""

    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def add(
        self, path: str, body: bytes = PNG, status: int = 200, *, declared: int | None = None, **headers: str
    ) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        size = {} if declared == UNDECLARED else {"content-length": str(len(body) if declared is None else declared)}
        self.pages[path] = status, {**size, **named}, body
        return self.url + path


@contextmanager
def serving(site: Site) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = site.pages[self.path.partition("?")[0]]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Keep test output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    with serving(made):
        yield made


def submit(world: World, url: str, owner: str = "alice", **fields: Any) -> Any:
    return world.clients[owner].post("/v1/jobs", json={"url": url} | fields)


def test_a_picture_at_an_address_becomes_a_job_with_its_wishes(world: World, site: Site) -> None:
    url = site.add("/trip/a%20b.png", content_type="image/PNG; x=y")
    answer = submit(world, f"{url}?size=big", options={"scale": 2}, metadata={"album": "trip"})
    assert answer.status_code == 202
    shown = answer.json()
    assert (answer.headers["location"], answer.headers["retry-after"]) == (shown["urls"]["self"], "1")
    assert (shown["options"]["requested"], shown["metadata"]) == ({"scale": 2}, {"album": "trip"})
    assert (shown["source"]["key"].rpartition("/")[2], shown["source"]["bytes"]) == ("a b.png", len(PNG))
    assert world.objects.stored["uploads", shown["source"]["key"]][1] == PNG
    assert site.asked[0][0] == "/trip/a%20b.png?size=big"


def test_nothing_of_the_caller_goes_out_with_the_request(world: World, site: Site) -> None:
    assert submit(world, site.add("/a.png")).status_code == 202
    assert site.asked[0][1].keys() == {"host", "user-agent", "accept", "accept-encoding"}
    assert site.asked[0][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize(("path", "name"), [("/", "image.png"), ("/...", "image.png"), ("/a.part", "image.png")])
def test_a_picture_whose_address_is_no_name_is_named_by_its_content(
    world: World, site: Site, path: str, name: str
) -> None:
    assert submit(world, site.add(path)).json()["source"]["key"].endswith(f"/{name}")
    assert submit(world, site.url + path, filename="b.png").json()["source"]["key"].endswith("/b.png")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_the_last_address_gives_the_name(world: World, site: Site, status: int) -> None:
    site.add("/deep/last.png")
    site.add("/middle", b"", status, location="deep/last.png")
    answer = submit(world, site.add("/first", b"moved", status, location=f"{site.url}/middle"))
    assert answer.json()["source"]["key"].endswith("/last.png")
    assert world.objects.stored["uploads", answer.json()["source"]["key"]][1] == PNG


def test_a_redirect_is_checked_as_the_first_address_is(world: World, site: Site) -> None:
    for place in ("http://10.0.0.1/a.png", "http://169.254.169.254/latest/", "file:///etc/passwd", "//[::1]:1/", "//["):
        answer = submit(world, site.add("/away", b"", 302, location=place))
        assert problem(answer) == (422, "url_refused"), place
    assert world.jobs.jobs == {}


def test_redirects_that_never_end_are_given_up(world: World, site: Site) -> None:
    refused = submit(world, site.add("/round", b"", 302, location="/round"))
    assert (problem(refused), len(site.asked)) == ((422, "url_unreachable"), fetching.MAX_REDIRECTS + 1)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://10.0.0.1/a.png",
            "http://192.168.1.1/",
            "http://[::1]/",
            "http://[fd00::1]/",
            "http://169.254.169.254/",
        ),
        *("http://2886729729/", "https://user:pw@example.com/", "http://127.0.0.1:22/", "http://no-such-host.invalid/"),
    ],
)
def test_an_address_that_may_not_be_fetched_is_refused_in_one_and_the_same_way(world: World, url: str) -> None:
    refused = submit(world, url)
    assert problem(refused) == (422, "url_refused")
    assert refused.json()["detail"] == "The host of this address is unknown, or nothing may be fetched from it."
    assert world.jobs.jobs == {}


@pytest.mark.parametrize("url", ["", "example.com/a.png", "ftp://example.com/a", "http://", "http://a b", "http://é/"])
def test_what_is_no_address_is_refused_by_its_pointer(world: World, url: str) -> None:
    assert pointers(submit(world, url)) == ["#/url"]


@pytest.mark.parametrize(("status", "again"), [(404, False), (204, False), (401, False), (500, True), (503, True)])
def test_another_status_than_200_is_said_and_whether_it_may_pass(
    world: World, site: Site, status: int, *, again: bool
) -> None:
    refused = submit(world, site.add("/a.png", b"" if status == 204 else PNG, status))
    assert problem(refused) == (422, "url_unreachable")
    assert (str(status) in refused.json()["detail"], refused.json()["retryable"]) == (True, again)


def test_a_page_is_no_picture_and_is_not_kept(world: World, site: Site) -> None:
    refused = submit(world, site.add("/a.png", b"<!doctype html>secrets of the network", content_type="image/png"))
    assert problem(refused) == (422, "format_unsupported")
    assert "secrets" not in refused.text
    assert (world.jobs.jobs, world.objects.stored) == ({}, {})


@pytest.mark.parametrize("declared", [None, UNDECLARED])
def test_a_picture_of_too_many_bytes_is_given_up(world: World, site: Site, declared: int | None) -> None:
    url = site.add("/a.png", PNG + b"x" * MAX_UPLOAD_BYTES, declared=declared)
    assert problem(submit(world, url)) == (422, "image_too_large")
    assert world.jobs.jobs == {}


def test_a_picture_of_just_as_many_bytes_as_allowed_is_taken(world: World, site: Site) -> None:
    body = PNG + b"x" * (MAX_UPLOAD_BYTES - len(PNG))
    assert submit(world, site.add("/a.png", body)).json()["source"]["bytes"] == MAX_UPLOAD_BYTES


def test_an_empty_picture_is_refused(world: World, site: Site) -> None:
    assert problem(submit(world, site.add("/a.png", b""))) == (422, "image_empty")


def test_an_answer_that_breaks_off_is_refused(world: World, site: Site) -> None:
    refused = submit(world, site.add("/a.png", declared=1000))
    assert (problem(refused), refused.json()["retryable"]) == ((422, "url_unreachable"), True)


def test_options_are_checked_before_anything_is_fetched(world: World, site: Site) -> None:
    url = site.add("/a.png")
    refusals: list[Callable[[], Any]] = [
        lambda: submit(world, url, options={"scale": 17}),
        lambda: submit(world, url, metadata={"a": 1}),
    ]
    assert [refuse().status_code for refuse in refusals] == [422, 422]
    assert site.asked == []


def test_addresses_that_never_answer_leave_room_for_other_owners(world: World, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf, ThreadPoolExecutor(2) as pool:
        urls = [f"http://127.0.0.1:{deaf.getsockname()[1]}/{n}.png" for n in range(fetching.MAX_FETCHES)]
        waiting = pool.submit(lambda: world.alice.post("/v1/batches", json={"urls": urls}))
        with deaf.accept()[0]:
            served = pool.submit(submit, world, site.add("/a.png"), "bob")
            assert served.result(timeout=3).status_code == 202  # before the others are given up
            assert not waiting.done()
            deaf.close()
        assert waiting.result().status_code == 202
