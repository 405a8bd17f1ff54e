"""Runs codecs on strangers' bytes in confined, one-shot child processes; the worker itself never parses a file.

A child is forked from `processors.zygote`, a small process with an empty environment that this module starts. Bytes go
in and pixels come out through sealed memory, whose header is checked before it is believed; nothing is ever unpickled.

`__main__` calls `Sandbox.start` before it opens a connection and `Sandbox.close` last:

    sandbox = Sandbox(slots=2)
    sandbox.start()
    try:
        asyncio.run(work(sandbox))
    finally:
        sandbox.close()
"""

import asyncio
import ctypes
import fcntl
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from pipeline.errors import PipelineError
from pipeline.formats import Format
from processors.picture import Picture, load, room_bytes, store, stored_bytes
from processors.refusals import HINTS, refusal
from processors.zygote import ANSWER, ANSWERED, EXIT_CODE, MAX_REFUSAL_BYTES, NOTHING, REFUSAL, Order

_PR_SET_DUMPABLE: Final = 4
_START_SECONDS: Final = 30.0
_SEND_SECONDS: Final = 1.0
_BASE_BYTES: Final = 256 << 20
_BYTES_PER_PIXEL: Final = 24  # Pillow's 4, twice while it converts, and the arrays made of them
_ENCODE_SECONDS: Final = 30.0
_ENCODE_SECONDS_PER_MEGAPIXEL: Final = 0.5  # ten times what the slowest, lossless WebP, takes on one slow core
_CRASHES: Final = frozenset((signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE))
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL  # a shrunk file would kill its reader


@dataclass(frozen=True, slots=True)
class Limits:
    """What one decode may take. Its memory follows from *max_pixels*; *wall_seconds* also bounds its CPU time."""

    max_pixels: int = 50_000_000
    wall_seconds: float = 30.0


class Sandbox:
    """At most *slots* codec children at once. *codec* names the module that they run."""

    def __init__(self, *, slots: int, codec: str = "processors.codecs") -> None:
        self._slots = asyncio.Semaphore(slots)
        self._codec = codec
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the process that children are forked from, and wait until it has loaded its codecs (some 0.3 s).

        Also makes this process unreadable to others of the same user, since its memory holds credentials.

        Raises:
            RuntimeError: It ended, or stayed silent for 30 s; why stands on stderr.
        """
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_START_SECONDS)
        with theirs:
            self._zygote = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", "processors.zygote", str(theirs.fileno()), self._codec],
                env={"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C in a terminal must let the work in hand finish
            )
        try:
            ready = self._control.recv(16)
        except OSError:
            ready = b""
        if ready != b"ready":
            self.close()
            raise RuntimeError("the codec process did not start; its stderr says why")
        self._control.settimeout(_SEND_SECONDS)

    def close(self) -> None:
        """End every child and the process they are forked from; returns when they are gone."""
        if self._control is not None:
            self._control.close()
        if self._zygote is not None:
            try:
                self._zygote.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._zygote.kill()
                self._zygote.wait()
        self._control = self._zygote = None

    async def decode(self, data: bytes, *, limits: Limits) -> Picture:
        """Decode one file; see `processors.codecs.decode`. Cancelling ends the child.

        Raises:
            PipelineError: What the codec raises, `image_corrupt` when it crashed, `decode_timeout`, or `worker_crashed`
                when something other than the file ended the child.
        """
        if not data:
            raise refusal("image_empty", "The upload holds no bytes.")
        order = Order(
            call="decode",
            memory_bytes=_BASE_BYTES + _BYTES_PER_PIXEL * limits.max_pixels + len(data),
            wall_seconds=limits.wall_seconds,
            options={"max_pixels": limits.max_pixels},
        )

        def fill(memory: memoryview) -> None:
            memory[:] = data

        body = await self._run(order, fill, source_bytes=len(data), answer_bytes=room_bytes(limits.max_pixels))
        try:
            return load(body, max_pixels=limits.max_pixels)
        except ValueError as error:
            raise refusal("image_corrupt", f"The decoder broke on the file: {error}.") from error

    async def encode(
        self,
        picture: Picture,
        *,
        format: Format,  # noqa: A002
        quality: int | None = None,
        lossless: bool = False,
    ) -> bytes:
        """Encode *picture*; see `processors.codecs.encode`. Cancelling ends the child.

        Raises:
            PipelineError: What the codec raises, or `worker_crashed` when the child did not finish.
        """
        size, area = stored_bytes(picture), picture.width * picture.height
        order = Order(
            call="encode",
            memory_bytes=_BASE_BYTES + _BYTES_PER_PIXEL * area,
            wall_seconds=_ENCODE_SECONDS + _ENCODE_SECONDS_PER_MEGAPIXEL * area / 1e6,
            options={"format": format, "quality": quality, "lossless": lossless},
        )
        room = 2 * size + _BASE_BYTES  # noise can leave a codec larger than it came in
        body = await self._run(order, partial(store, picture), source_bytes=size, answer_bytes=room)
        return body.tobytes()

    async def _run(
        self, order: Order, fill: Callable[[memoryview], None], *, source_bytes: int, answer_bytes: int
    ) -> memoryview:
        """The bytes that a child answers *order* with, after *fill* wrote what it is to read."""
        async with self._slots:
            with _shared(source_bytes) as (source_fd, source), _shared(answer_bytes) as (answer_fd, answer):
                await asyncio.to_thread(fill, source)
                code = await self._exit_code(order, source_fd, answer_fd)
        if code != 0:
            raise _death(order, code)
        return _body(order, answer)

    async def _exit_code(self, order: Order, *fds: int) -> int:
        """Have *order* carried out by a child; its exit code. The child dies with the socket that this waits on."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with mine:
            with theirs:
                self._send(json.dumps(asdict(order)).encode(), [*fds, theirs.fileno()])
            mine.setblocking(False)
            try:
                async with asyncio.timeout(order.wall_seconds):
                    status = await asyncio.get_running_loop().sock_recv(mine, EXIT_CODE.size)
            except TimeoutError:
                return -signal.SIGXCPU
        if len(status) != EXIT_CODE.size:
            raise refusal("worker_crashed", "The codec process ended during the work.")
        return int(EXIT_CODE.unpack(status)[0])

    def _send(self, message: bytes, fds: list[int]) -> None:
        if self._control is None:
            raise RuntimeError("a sandbox works between its start and its close")
        try:
            socket.send_fds(self._control, [message], fds)
        except OSError:  # it was killed; this order never reached it
            self.close()
            self.start()
            socket.send_fds(self._control, [message], fds)


@contextmanager
def _shared(size: int) -> Iterator[tuple[int, memoryview]]:
    """*size* bytes of zeroed memory, and a descriptor for it within the block; no reader can shrink or grow it."""
    fd = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        yield fd, memoryview(mmap.mmap(fd, size))
    finally:
        os.close(fd)


def _death(order: Order, code: int) -> PipelineError:
    """The error for a child that ended without an answer."""
    if order.call == "decode":
        if code == -signal.SIGXCPU:
            return refusal("decode_timeout", f"The picture was not decoded within {order.wall_seconds:g} s.")
        if -code in _CRASHES:
            return refusal("image_corrupt", "The file crashed its decoder.")
    return refusal("worker_crashed", f"The process that was to {order.call} the picture ended with code {code}.")


def _body(order: Order, answer: memoryview) -> memoryview:
    """What a child answered to *order*; raises what it refused with. Believes no number that does not fit."""
    kind, size = ANSWER.unpack_from(answer)
    body = answer[ANSWER.size :]
    if size > len(body):
        kind = NOTHING
    if kind == REFUSAL:
        code, _, detail = bytes(body[: min(size, MAX_REFUSAL_BYTES)]).decode(errors="replace").partition("\n")
        if code in HINTS:
            raise refusal(code, detail)
    if kind != ANSWERED:
        raise refusal("worker_crashed", f"The process that was to {order.call} the picture gave no answer.")
    return body[:size]
