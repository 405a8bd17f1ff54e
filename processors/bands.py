"""A picture taken in from its top while it is still being written: bands of rows, on threads, given up when done."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Final, Protocol, TypeVar

Part = TypeVar("Part")

_BANDS_PER_THREAD: Final = 3  # one in work, one that waits for a thread, one that waits for those above it


class Output(Protocol):
    """What an encoder writes to: a binary file, or memory that another process reads."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Append *data* where the last call ended."""
        ...

    def seek(self, position: int, /) -> object:
        """Go to *position*."""
        ...

    def tell(self) -> int:
        """Where the next `write` goes."""
        ...


class Bands:
    """The rows of one picture, as an encoder may ask for them.

    Args:
        threads: How many work on bands, all started here; with none, the caller's own does.
        wait: Returns when rows [0, n) are final.
        drop: Told that rows [0, n) will not be read again.
    """

    def __init__(
        self, threads: int = 0, *, wait: Callable[[int], None] | None = None, drop: Callable[[int], None] | None = None
    ) -> None:
        self._wait, self._drop = wait or _ignore, drop or _ignore
        self._limit = _BANDS_PER_THREAD * threads
        self._pool = _started(threads) if threads else None

    def wait(self, rows: int) -> None:
        """Return when rows [0, *rows*) are final."""
        self._wait(rows)

    def each(self, work: Callable[[slice], Part], *, height: int, rows: int) -> Iterator[Part]:
        """What *work* makes of each band of *rows* out of *height*, from the top. It may read the row above."""
        pending: deque[tuple[int, Future[Part]]] = deque()
        for start in range(0, height, rows):
            band = slice(start, min(start + rows, height))
            self._wait(band.stop)
            pending.append((band.stop, self._begun(work, band)))
            if len(pending) > self._limit:
                yield self._ended(*pending.popleft())
        while pending:
            yield self._ended(*pending.popleft())

    def _begun(self, work: Callable[[slice], Part], band: slice) -> Future[Part]:
        if self._pool is not None:
            return self._pool.submit(work, band)
        future: Future[Part] = Future()
        future.set_result(work(band))
        return future

    def _ended(self, stop: int, future: Future[Part]) -> Part:
        part = future.result()
        self._drop(stop - 1)
        return part


def _ignore(_rows: int) -> None:
    """Every row is final from the start, and kept to the end."""


def _started(threads: int) -> ThreadPoolExecutor:
    """A pool whose threads all run already: where it is used, none can be started later.

    Each has CPUs of its own. Left to itself, the kernel wakes them all where the caller runs, and moves them apart only
    after some 10 ms, when the bands of a picture are done; the queue that they share makes up for a CPU that is taken.
    """
    pool, all_run = ThreadPoolExecutor(threads), Barrier(threads + 1)

    def run(number: int) -> None:
        with suppress(OSError):  # forbidden here, or a CPU has gone: it costs a few milliseconds
            os.sched_setaffinity(0, cpus[number % len(cpus) :: threads])
        all_run.wait()

    cpus = sorted(os.sched_getaffinity(0))
    for number in range(threads):
        pool.submit(run, number)
    all_run.wait()
    return pool
