"""What the guarded client refuses, and how it treats what it reaches."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.sender import SLOTS
from notifier.settings import Settings
from pipeline.egress import MAX_RESPONSE_BYTES, Egress, EgressError, Network, checked_url, reachable, resolve
from tests.receiver import receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)
PRIVATE_V4 = [
    *("0.0.0.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1"),
    *("192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.255.255.250"),
    *("240.0.0.1", "255.255.255.255"),
]
PRIVATE_V6 = [
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "64:ff9b::7f00:1", "64:ff9b::808:808"),
    *(
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
    ),
    *("fd12:3456::1", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001::200e"]


@pytest.mark.parametrize("address", [*PRIVATE_V4, *PRIVATE_V6])
def test_address_that_is_not_one_public_host_is_refused(address: str) -> None:
    assert not reachable(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_reachable(address: str) -> None:
    assert reachable(address)


@given(st.ip_addresses(v=4))
def test_mapped_address_is_judged_as_the_ipv4_address_it_carries(address: IPv4Address) -> None:
    assert reachable(f"::ffff:{address}") == reachable(str(address))


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_outside_global_unicast_is_reachable(address: IPv6Address) -> None:
    if address.ipv4_mapped is None and int(address) >> 125 != 1:
        assert not reachable(str(address))


@pytest.mark.parametrize(("address", "allowed"), [("127.0.0.1", True), ("::ffff:127.0.0.9", True), ("::1", False)])
def test_allowed_network_opens_itself_and_nothing_else(address: str, *, allowed: bool) -> None:
    assert reachable(address, LOOPBACK) is allowed
    assert not reachable("10.0.0.1", LOOPBACK)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com/", "example.com", ""),
        *("http:///hook", "http://user:secret@example.com/", "http://user@example.com/", "https://example.com:22/"),
        *("http://example.com:25/", "http://0177.0.0.1/", "http://example.com:99999/", "http://[::1/"),
    ],
)
def test_url_that_no_receiver_has_is_refused(url: str) -> None:
    with pytest.raises(EgressError) as caught:
        checked_url(url)
    assert caught.value.code == "url_refused"


@pytest.mark.parametrize("url", ["http://example.com", "https://example.com:8443/a?b=c", "http://[2606:4700::1]:8080/"])
def test_usual_url_is_accepted(url: str) -> None:
    assert checked_url(url).host


class Recorder(httpcore2.AsyncMockBackend):
    """Connects to nothing; keeps the addresses it was asked for, and the names that TLS would verify."""

    def __init__(self, *, failing: Sequence[str] = ()) -> None:
        super().__init__([b"HTTP/1.1 204 No Content\r\n\r\n"])
        self.connected: list[str] = []
        self.verified: list[str | None] = []
        self.written: list[bytes] = []
        self._failing = failing

    async def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        self.connected.append(host)
        if host in self._failing:
            raise httpcore2.ConnectError("unreachable")
        return Stream(list(self._buffer), self)


class Stream(httpcore2.AsyncMockStream):
    def __init__(self, buffer: list[bytes], recorder: Recorder) -> None:
        super().__init__(buffer)
        self._recorder = recorder

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._recorder.written.append(buffer)

    async def start_tls(
        self,
        ssl_context: object,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        self._recorder.verified.append(server_hostname)
        return self


class Names:
    """A resolver that answers from a list, one entry per question."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._answers.pop(0)


@asynccontextmanager
async def opened(allow: Sequence[Network] = (), **parts: Any) -> AsyncIterator[Egress]:
    egress = Egress(allow, **parts)
    try:
        yield egress
    finally:
        await egress.close()


async def refusal(url: str, allow: Sequence[Network] = (), **parts: Any) -> str:
    async with opened(allow, **parts) as egress:
        with pytest.raises(EgressError) as caught:
            await egress.post(url, headers={}, body=b"{}")
    return caught.value.code


@pytest.mark.anyio
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "localhost", "0", "0.0.0.0"),  # noqa: S104 - refused
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::7f00:1]", "[64:ff9b::7f00:1]", "[fe80::1]"),
        *("169.254.169.254", "[ff02::1]", "224.0.0.1", "10.0.0.1", "[fd00::1]"),
    ],
)
async def test_every_spelling_of_a_private_address_is_refused_before_connecting(host: str) -> None:
    recorder = Recorder()
    assert await refusal(f"http://{host}/hook", inner=recorder) == "address_refused"
    assert recorder.connected == []


@pytest.mark.anyio
@pytest.mark.parametrize("answers", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "::1"]])
async def test_name_with_one_private_answer_among_public_ones_is_refused(answers: list[str]) -> None:
    recorder = Recorder()
    assert await refusal("http://mixed.example/", resolver=Names(answers), inner=recorder) == "address_refused"
    assert recorder.connected == []


@pytest.mark.anyio
async def test_name_is_resolved_once_and_the_checked_address_is_called() -> None:
    names, recorder = Names(["8.8.8.8"], ["127.0.0.1"]), Recorder()
    async with opened(resolver=names, inner=recorder) as egress:
        reply = await egress.post("http://rebinding.example/", headers={}, body=b"{}")
    assert (reply.status_code, names.asked, recorder.connected) == (204, ["rebinding.example"], ["8.8.8.8"])


@pytest.mark.anyio
async def test_every_connection_is_checked_afresh() -> None:
    names, recorder = Names(["8.8.8.8"], ["127.0.0.1"]), Recorder()
    async with opened(resolver=names, inner=recorder) as egress:
        await egress.post("http://rebinding.example/", headers={}, body=b"{}")
        with pytest.raises(EgressError, match="127"):
            await egress.post("http://rebinding.example/", headers={}, body=b"{}")
    assert recorder.connected == ["8.8.8.8"]


@pytest.mark.anyio
async def test_tls_verifies_the_name_and_not_the_address() -> None:
    recorder = Recorder()
    async with opened(resolver=Names(["8.8.8.8"]), inner=recorder) as egress:
        await egress.post("https://receiver.example/", headers={}, body=b"{}")
    assert (recorder.connected, recorder.verified) == (["8.8.8.8"], ["receiver.example"])


@pytest.mark.anyio
async def test_second_address_is_called_when_the_first_does_not_answer() -> None:
    recorder = Recorder(failing=["2606:4700::1"])
    async with opened(resolver=Names(["2606:4700::1", "8.8.8.8"]), inner=recorder) as egress:
        await egress.post("http://two.example/", headers={}, body=b"{}")
    assert recorder.connected == ["2606:4700::1", "8.8.8.8"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://[2606:4700::1]:8080/", "[2606:4700::1]:8080"),
        ("http://a.example:80/", "a.example"),
        ("https://a.example:8443/", "a.example:8443"),
    ],
)
async def test_host_header_is_written_as_in_the_url(url: str, host: str) -> None:
    recorder = Recorder()
    async with opened(resolver=Names(["2606:4700::1"]), inner=recorder) as egress:
        await egress.post(url, headers={}, body=b"{}")
    assert f"host: {host}\r\n" in b"".join(recorder.written).decode().lower()


@pytest.mark.anyio
async def test_slow_names_are_looked_up_side_by_side() -> None:
    together = threading.Barrier(SLOTS, timeout=5)

    def resolver(host: str, port: int) -> Sequence[str]:
        together.wait()  # nobody goes on before all have come
        return ["8.8.8.8"]

    async with opened(resolver=resolver, inner=Recorder(), deadline_seconds=5) as egress:
        posts = (egress.post("http://a.example/", headers={}, body=b"{}") for _ in range(SLOTS))
        replies = await asyncio.gather(*posts)
    assert {reply.status_code for reply in replies} == {204}


@pytest.mark.anyio
async def test_names_that_nobody_answers_for_hold_up_no_other_even_after_their_deadline() -> None:
    answered = threading.Event()

    def resolver(host: str, port: int) -> Sequence[str]:
        if host == "hole.example":
            answered.wait(30)
        return ["8.8.8.8"]

    async with opened(resolver=resolver, inner=Recorder(), deadline_seconds=0.5) as egress:
        lost = [egress.post("http://hole.example/", headers={}, body=b"{}") for _ in range(SLOTS)]
        caught = await asyncio.gather(*lost, return_exceptions=True)
        try:
            reply = await egress.post("http://there.example/", headers={}, body=b"{}")
        finally:
            answered.set()
    assert [error.code for error in caught if isinstance(error, EgressError)] == ["timed_out"] * SLOTS
    assert reply.status_code == 204


@pytest.mark.anyio
async def test_name_that_does_not_exist_is_said_so() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert await refusal("http://nowhere.example/", resolver=unknown) == "name_unknown"
    assert await refusal("http://empty.example/", resolver=Names([])) == "name_unknown"
    assert await refusal(f"http://{'a' * 70}.example/", resolver=resolve) == "name_unknown"


@pytest.mark.anyio
async def test_body_and_headers_arrive_as_given_and_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with receiving([(200, {"Retry-After": "7"})]) as receiver:
        async with opened(LOOPBACK) as egress:
            reply = await egress.post(f"{receiver.url}?a=b%20c", headers={"x-a": "1"}, body=b'{"x": 1}')
        got = await receiver.next()
    assert (reply.status_code, reply.headers["retry-after"]) == (200, "7")
    assert (got.path, got.headers["x-a"], got.body) == ("/hook?a=b%20c", "1", b'{"x": 1}')
    assert got.headers["host"] == receiver.url.split("/")[2]


@pytest.mark.anyio
async def test_redirect_is_an_answer_and_never_followed() -> None:
    with receiving() as elsewhere, receiving([(307, {"Location": elsewhere.url})]) as receiver:
        async with opened(LOOPBACK) as egress:
            reply = await egress.post(receiver.url, headers={}, body=b"{}")
    assert (reply.status_code, receiver.count, elsewhere.count) == (307, 1, 0)


@asynccontextmanager
async def answering(*chunks: bytes, then_close: bool = False) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that sends the last chunk again and again until the client leaves; the list counts its bytes."""
    sent = [0]
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for chunk in chunks:
                writer.write(chunk)
            await writer.drain()
            while not then_close and chunks:
                writer.write(chunks[-1])
                sent[0] += len(chunks[-1])
                await writer.drain()
            if not chunks:
                await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()
            gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", sent
        await asyncio.wait_for(gone.wait(), 5)


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.anyio
async def test_endless_answer_is_cut_off_and_its_status_counts() -> None:
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    async with answering(HEAD, chunk) as (url, sent), opened(LOOPBACK) as egress:
        reply = await egress.post(url, headers={}, body=b"{}")
    assert reply.status_code == 200
    assert sent[0] < MAX_RESPONSE_BYTES + 16 * 1024 * 1024  # what the sockets' own buffers took


@pytest.mark.anyio
async def test_silent_receiver_runs_into_the_deadline() -> None:
    async with answering() as (url, _), opened(LOOPBACK, deadline_seconds=0.1) as egress:
        with pytest.raises(EgressError) as caught:
            await egress.post(url, headers={}, body=b"{}")
    assert caught.value.code == "timed_out"


@pytest.mark.anyio
async def test_answer_that_is_no_http_is_said_so() -> None:
    async with answering(b"SSH-2.0-OpenSSH_9.2\r\n", then_close=True) as (url, _), opened(LOOPBACK) as egress:
        with pytest.raises(EgressError) as caught:
            await egress.post(url, headers={}, body=b"{}")
    assert caught.value.code == "connection_broken"


@pytest.mark.anyio
async def test_closed_port_is_said_so() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert await refusal(f"http://127.0.0.1:{port}/", LOOPBACK) == "connection_failed"


def settings(**values: str) -> Settings:
    servers = {"nats_url": "nats://a", "mongo_url": "mongodb://a", "password_webhooks": "x" * 32}
    return Settings(**{**servers, "public_url": "http://a", **values})  # type: ignore[arg-type]


def test_setting_lists_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENLARGER_EGRESS_ALLOW", "127.0.0.0/8, fd00::/8,10.1.2.3")
    assert settings().egress_allow == tuple(map(ip_network, ("127.0.0.0/8", "fd00::/8", "10.1.2.3/32")))


def test_no_private_network_is_allowed_unless_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENLARGER_EGRESS_ALLOW", raising=False)
    assert settings().egress_allow == ()
    assert settings(egress_allow="").egress_allow == ()


@pytest.mark.parametrize("value", ["10.0.0.1/8", "example.com", "127.0.0.0/8;10.0.0.0/8"])
def test_setting_that_is_no_network_stops_the_start(value: str) -> None:
    with pytest.raises(ValueError, match="egress_allow"):
        settings(egress_allow=value)
