"""Memory that two processes share, and a picture in it that one of them encodes while the other still writes it."""

import fcntl
import mmap
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

import numpy as np

from processors.picture import Picture, Pixels, load

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL  # a shrunk file would kill its reader


@contextmanager
def shared(size: int) -> Iterator[tuple[int, memoryview]]:
    """*size* bytes of zeroed memory, and a descriptor for it within the block; no reader can shrink or grow it.

    A page of it takes up memory once it is written to.
    """
    fd = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        yield fd, memoryview(mmap.mmap(fd, size))
    finally:
        os.close(fd)


class Feed:
    """How a writer tells the reader of its picture, from any thread, that rows are final."""

    def __init__(self, height: int) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC)
        self._height, self._rows = height, 0
        self._lock = Lock()

    @property
    def is_whole(self) -> bool:
        """Whether every row was said to be final."""
        return self._rows == self._height

    def ready(self, rows: int) -> None:
        """Rows [0, *rows*) are final. Never waits; says nothing when fewer are than were, or once it is closed."""
        with self._lock:
            more = min(rows, self._height) - self._rows
            if more > 0 and self.fd >= 0:
                os.eventfd_write(self.fd, more)
                self._rows += more

    def close(self) -> None:
        """Say nothing from now on."""
        with self._lock:
            os.close(self.fd)
            self.fd = -1


class Encoding:
    """A picture on its way into a file.

        async with sandbox.encoding(layout, format="png") as encoding:
            encoding.picture.pixels[:100] = ...
            encoding.ready(100)
            ...
            body = await encoding.finish()

    Args:
        picture: To be written into, from the top; its arrays stay valid after the block.
        feed: Where to say so.
        answered: Waits for the child.
    """

    def __init__(self, picture: Picture, feed: Feed, answered: Callable[[], Awaitable[memoryview]]) -> None:
        self.picture = picture
        self._feed, self._answered = feed, answered

    def ready(self, rows: int) -> None:
        """Rows [0, *rows*) of pixels and alpha are final. From any thread; never waits.

        Unless `keep` was asked for, they may read as zeros from now on.
        """
        self._feed.ready(rows)

    def fill(self, picture: Picture) -> None:
        """Copy all of *picture*, which is of the same layout, and say that it is final."""
        np.copyto(self.picture.pixels, picture.pixels)
        if self.picture.alpha is not None and picture.alpha is not None:
            np.copyto(self.picture.alpha, picture.alpha)
        self.ready(picture.height)

    async def finish(self) -> memoryview:
        """The encoded bytes, in memory of their own that stays valid after the block. To be called once.

        Raises:
            PipelineError: What the codec raises, or `worker_crashed` when the child did not finish in time.
            RuntimeError: Not every row was said to be final.
        """
        if not self._feed.is_whole:
            raise RuntimeError("a picture is finished when all of its rows are ready")
        return await self._answered()


class Canvas:
    """The reader's end: the picture in *memory*, whose rows become final as *fd* of a `Feed` says.

    Args:
        memory: What a picture was laid into.
        fd: The feed's descriptor.
        keep: The writer will read its rows again; otherwise those that are dropped here take up no memory any more.
    """

    def __init__(self, memory: mmap.mmap, fd: int, *, keep: bool) -> None:
        self.picture = load(memoryview(memory), max_pixels=len(memory))
        self._memory, self._fd, self._rows = memory, fd, 0
        arrays = (self.picture.pixels, self.picture.alpha)
        self._planes = [] if keep else [_Plane(memory, array) for array in arrays if array is not None]

    def wait(self, rows: int) -> None:
        """Return when rows [0, *rows*) are final. Uses no processor time; the process ends with its writer."""
        while self._rows < rows:
            self._rows += os.eventfd_read(self._fd)

    def drop(self, rows: int) -> None:
        """Give back the memory of rows [0, *rows*): they read as zeros from now on, in both processes."""
        for plane in self._planes:
            plane.drop(rows)


class _Plane:
    """The bytes of one array in *memory*."""

    def __init__(self, memory: mmap.mmap, array: Pixels) -> None:
        self._memory, self._row_bytes = memory, array[0].nbytes
        self._start = array.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data
        self._dropped = -(-self._start // mmap.PAGESIZE) * mmap.PAGESIZE

    def drop(self, rows: int) -> None:
        end = (self._start + rows * self._row_bytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if end > self._dropped:
            self._memory.madvise(mmap.MADV_REMOVE, self._dropped, end - self._dropped)
            self._dropped = end
