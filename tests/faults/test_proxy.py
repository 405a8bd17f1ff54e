"""The proxy that the fault tests stand on does to a connection what it says."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.ports import LOOPBACK
from tests.faults.proxy import DELAY_SECONDS, THROTTLED_BYTES, Link, network
from tests.waiting import eventually

SHORT_SECONDS = 0.2
PATIENCE_SECONDS = 5.0


@pytest.fixture
def link() -> Iterator[Link]:
    """To a server that sends back what it gets."""
    with socket.create_server((LOOPBACK, 0)) as server, ThreadPoolExecutor() as pool, network() as net:
        pool.submit(_accept, server, pool)
        yield net.link(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, pool: ThreadPoolExecutor) -> None:
    try:
        while True:
            pool.submit(_echo, server.accept()[0])
    except OSError:
        return


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1 << 16):
                connection.sendall(data)
        except ConnectionError:
            return


def connected(link: Link, seconds: float = PATIENCE_SECONDS) -> socket.socket:
    return socket.create_connection((LOOPBACK, link.port), timeout=seconds)


def echo(client: socket.socket, body: bytes = b"hello") -> bytes:
    client.sendall(body)
    return received(client, len(body))


def received(client: socket.socket, size: int) -> bytes:
    answer = b""
    while len(answer) < size and (part := client.recv(size)):
        answer += part
    return answer


def test_a_link_passes_every_byte_in_order(link: Link) -> None:
    body = bytes(range(256)) * 4096
    with connected(link) as client, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.sendall, body)
        assert received(client, len(body)) == body
        sending.result()
        assert link.connections == 1
    eventually(lambda: link.connections == 0, what="the end of the connection")


def test_a_cut_resets_what_is_open_and_what_comes_until_it_is_mended(link: Link) -> None:
    with connected(link) as client:
        assert echo(client) == b"hello"
        with link.switched("cut"):
            assert broken(client)
            with connected(link) as second:
                assert broken(second)
    with connected(link) as third:
        assert echo(third) == b"hello"


def broken(client: socket.socket) -> bool:
    try:
        return echo(client) == b""
    except ConnectionError:
        return True


def test_a_hole_swallows_bytes_and_gives_them_back_when_it_ends(link: Link) -> None:
    with connected(link) as client:
        assert echo(client) == b"hello"
        with link.switched("hole"):
            client.settimeout(SHORT_SECONDS)
            with pytest.raises(TimeoutError):
                echo(client)
            with connected(link, SHORT_SECONDS) as second, pytest.raises(TimeoutError):
                echo(second)
        client.settimeout(PATIENCE_SECONDS)
        assert received(client, 5) == b"hello"


def test_a_delay_is_added_on_both_ways(link: Link) -> None:
    with connected(link) as client, link.switched("delay"):
        began = time.monotonic()
        assert echo(client) == b"hello"
        assert time.monotonic() - began >= 2 * DELAY_SECONDS


def test_a_throttled_link_takes_its_time_and_loses_nothing(link: Link) -> None:
    body = bytes(range(256)) * (THROTTLED_BYTES // 256)
    with connected(link) as client, link.switched("throttle"):
        began = time.monotonic()
        assert echo(client, body) == body
        assert time.monotonic() - began >= len(body) / THROTTLED_BYTES


def test_a_server_that_is_away_is_an_end_and_not_a_wait() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
    with network() as net, connected(net.link(port)) as client:
        assert broken(client)
