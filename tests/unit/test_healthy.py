"""The health check of our images: a server's answer, and a connection that is really there."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra.healthy import answers, connected, main

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@contextmanager
def serving(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/health"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
def test_a_server_is_healthy_when_it_says_so(status: int, *, healthy: bool) -> None:
    with serving(status) as url:
        assert answers(url) is healthy
        assert main(url, {}) == (0 if healthy else 1)


def test_a_server_that_is_gone_is_not_healthy() -> None:
    with serving(200) as url:
        pass
    assert main(url, {}) == 1


def test_a_service_is_healthy_while_it_holds_its_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not connected(port), "that somebody listens is no connection"
        with socket.create_connection(("127.0.0.1", port)):
            assert connected(port)
            assert main("BUS", {"BUS": f"nats://user:password@127.0.0.1:{port}"}) == 0
        assert not connected(port)
        assert main("BUS", {"BUS": f"nats://user:password@127.0.0.1:{port}"}) == 1


def test_a_variable_that_is_not_set_is_an_error() -> None:
    with pytest.raises(KeyError, match="BUS"):
        main("BUS", {})


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("   0: 0100007F:B5C4 0200007F:107E 01 00000000:00000000 00:00000000 00000000 10001 0 1", True),
        ("   0: 0100007F:107E 0200007F:B5C4 01 00000000:00000000 00:00000000 00000000 10001 0 1", False),
        ("   0: 0100007F:B5C4 0200007F:107E 02 00000000:00000000 00:00000000 00000000 10001 0 1", False),
    ],
)
def test_only_an_established_connection_to_the_port_counts(tmp_path: Path, row: str, *, found: bool) -> None:
    table = tmp_path / "tcp"
    table.write_text(HEADER + row + "\n")
    assert connected(4222, (table, tmp_path / "tcp6")) is found
