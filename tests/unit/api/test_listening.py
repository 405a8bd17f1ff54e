"""The socket that the api process listens on."""

import socket

import uvicorn

from api.__main__ import listen


async def nothing(*_: object) -> None:
    """An application that is never asked."""


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head() -> None:
    """Nagle's algorithm and delayed acknowledgements (RFC 1122, 4.2.3.4) made each poll of an open connection 40 ms."""
    with listen(uvicorn.Config(nothing, host="127.0.0.1", port=0, log_config=None)) as listening:
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
