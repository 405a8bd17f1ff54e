"""Several files on their way at a time, with bars; an interrupt stops each at its next step."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from enlarger.command.bars import Watching
from enlarger.transfer import OnBytes

_T = TypeVar("_T")


class Crew:
    """Threads that move files, until the block ends; what is under way when it ends by an error is stopped.

    Args:
        at_once: So many files at a time.
        watching: Opens the bar of one file.
    """

    def __init__(self, at_once: int, watching: Watching) -> None:
        self._pool = ThreadPoolExecutor(at_once)
        self._watching = watching
        self._stop = threading.Event()
        self._moving = 0
        self._moved = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stop.set()
            print("Stopping; run it again to go on from here.", file=sys.stderr)
        self._pool.shutdown(cancel_futures=error is not None)
        with self._moved:  # an interrupt while a thread was started leaves the pool without knowledge of it
            self._moved.wait_for(lambda: self._moving == 0)

    def start(self, file: Path, stage: str, work: Callable[[OnBytes], _T]) -> Future[_T]:
        """Have *work* done with *file*, under a bar that says *stage*; it is told whom to call with bytes."""

        def one() -> _T:
            with self._counted(), self._watching(file) as watch:

                def moved(done: int, total: int) -> None:
                    if self._stop.is_set():
                        raise KeyboardInterrupt
                    watch(stage, done / total if total else None)

                return work(moved)

        return self._pool.submit(one)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Move a file, unless all have to stop; who stops them waits for it."""
        with self._moved:
            if self._stop.is_set():
                raise KeyboardInterrupt
            self._moving += 1
        try:
            yield
        finally:
            with self._moved:
                self._moving -= 1
                self._moved.notify_all()
