"""A webhook receiver that really listens: it answers by script and keeps what it was sent."""

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio.to_thread

Answer = tuple[int, Mapping[str, str]]
TAKEN: Answer = (204, {})


@dataclass(frozen=True, slots=True)
class Received:
    """One POST; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    #: By the monotonic clock.
    at_seconds: float


@dataclass(slots=True)
class Receiver:
    """Answers the scripted statuses in turn, then 204. `url` is on loopback."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    received: "queue.Queue[Received]" = field(default_factory=queue.Queue)
    count: int = 0
    port: int = 0

    async def next(self, seconds: float = 10.0) -> Received:
        """The next request; `queue.Empty` after *seconds*."""
        return await anyio.to_thread.run_sync(lambda: self.received.get(timeout=seconds))


@contextmanager
def receiving(answers: Sequence[Answer] = ()) -> Iterator[Receiver]:
    """Listen on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers = receiver.answers.pop(0) if receiver.answers else TAKEN
            receiver.count += 1
            now = time.monotonic()
            receiver.received.put(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body, now))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Keep test output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook", list(answers), port=server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
