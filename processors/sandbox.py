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
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from pipeline.errors import PipelineError
from pipeline.formats import Written
from processors.canvas import Encoding, Feed, shared
from processors.picture import Layout, Picture, blank, load, room_bytes
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
#: What an encoder of whole pictures takes at most, alpha and full chroma counted; the others work on bands, on threads.
_ENCODE_BYTES_PER_PIXEL: Final[Mapping[Written, int]] = {"jpeg": 16, "webp": 48, "avif": 64}
_BYTES_PER_THREAD: Final = 32 << 20  # its stack, and the bands that it has in work
_KEPT_BYTES: Final = str(32 << 20)  # the most that glibc takes for its threshold
_ROWS_PER_THREAD: Final = 32  # of a picture so wide that a row is more than a band should be


@dataclass(frozen=True, slots=True)
class Limits:
    """What one decode may take. Its memory follows from *max_pixels*; *wall_seconds* also bounds its CPU time."""

    max_pixels: int = 50_000_000
    wall_seconds: float = 30.0


class Sandbox:
    """At most *slots* decodes at once. *codec* names the module that the children run."""

    def __init__(self, *, slots: int, codec: str = "processors.codecs") -> None:
        self._slots = asyncio.Semaphore(slots)
        self._sending = asyncio.Lock()
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
                env=_environment(),
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

    async def decode(self, data: bytes, *, limits: Limits, metadata: str = "keep", gray: bool = False) -> Picture:
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
            options={"max_pixels": limits.max_pixels, "metadata": metadata, "gray": gray},
        )
        async with self._slots:
            with shared(len(data)) as (source_fd, source), shared(room_bytes(limits.max_pixels)) as (answer_fd, answer):
                source[:] = data
                async with self._child(order, source_fd, answer_fd) as status:
                    body = await _answered(order, status, answer)
        try:
            return load(body, max_pixels=limits.max_pixels)
        except ValueError as error:
            raise refusal("image_corrupt", f"The decoder broke on the file: {error}.") from error

    @asynccontextmanager
    async def encoding(  # noqa: PLR0913 - what a picture carries, and what becomes of it
        self,
        layout: Layout,
        *,
        format: Written,  # noqa: A002
        icc: bytes | None = None,
        exif: bytes = b"",
        xmp: bytes = b"",
        quality: int | None = None,
        lossless: bool = False,
        keep: bool = False,
    ) -> AsyncIterator[Encoding]:
        """Encode a picture while it is written; see `processors.codecs.write`, and `Encoding` for what to do.

        The child starts at once and sleeps until rows are final. It has no deadline until `Encoding.finish`, and ends
        with the block, or with this process, however late the last row is. Encodings take no slot: each lives as long
        as the work that writes it.

        Args:
            layout: Size, depth and light of the picture. What it says of profile and metadata is not used.
            format: Of the output; the other options are as in `processors.codecs.write`.
            icc: As of `Picture`.
            exif: As of `Picture`.
            xmp: As of `Picture`.
            quality: 1-100; None for the format's own.
            lossless: Where the format has a choice.
            keep: Leave the picture as it is. Otherwise its rows are given back as they are encoded, and read as zeros.
        """
        sizes = {"icc_bytes": len(icc or b""), "exif_bytes": len(exif), "xmp_bytes": len(xmp)}
        layout = layout.model_copy(update=sizes)
        options = {"format": format, "quality": quality, "lossless": lossless}
        order = _encode_order(layout, options, keep=keep)
        size = layout.spans(len(layout.model_dump_json()))[-1].stop
        feed = Feed(layout.height)
        with closing(feed), shared(size) as (canvas_fd, canvas), shared(2 * size + _BASE_BYTES) as (answer_fd, answer):
            picture = blank(layout, canvas, icc=icc, exif=exif, xmp=xmp)
            async with self._child(order, canvas_fd, answer_fd, feed.fd) as status:
                yield Encoding(picture, feed, partial(_answered, order, status, answer))

    async def encode(
        self,
        picture: Picture,
        *,
        format: Written,  # noqa: A002
        quality: int | None = None,
        lossless: bool = False,
    ) -> memoryview:
        """Encode a picture that is all there; otherwise as `encoding`.

        Raises:
            PipelineError: As `Encoding.finish`.
        """
        about: dict[str, Any] = {"icc": picture.icc, "exif": picture.exif, "xmp": picture.xmp}
        how: dict[str, Any] = {"format": format, "quality": quality, "lossless": lossless}
        async with self.encoding(Layout.of(picture), **about, **how) as encoding:
            await asyncio.to_thread(encoding.fill, picture)
            return await encoding.finish()

    @asynccontextmanager
    async def _child(self, order: Order, *fds: int) -> AsyncIterator[socket.socket]:
        """Have *order* carried out by a child that dies with the block; its exit code comes out of the socket."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with mine:
            with theirs:
                await self._send(json.dumps(asdict(order)).encode(), [*fds[:2], theirs.fileno(), *fds[2:]])
            mine.setblocking(False)
            yield mine

    async def _send(self, message: bytes, fds: list[int]) -> None:
        async with self._sending:
            if self._control is None:
                raise RuntimeError("a sandbox works between its start and its close")
            try:
                socket.send_fds(self._control, [message], fds)
            except OSError:  # it was killed; this order never reached it
                await self._restart()
                socket.send_fds(self._control, [message], fds)

    async def _restart(self) -> None:
        """Take seconds off the loop, which renews leases meanwhile. Who is cancelled waits: half a start is none."""

        def again() -> None:
            self.close()
            self.start()

        restarting = asyncio.ensure_future(asyncio.to_thread(again))
        try:
            await asyncio.shield(restarting)
        except asyncio.CancelledError:
            await restarting
            raise


def _encode_order(layout: Layout, options: dict[str, Any], *, keep: bool) -> Order:
    """Formats that are encoded in bands have threads for them, and memory for a few bands each."""
    area, per_pixel = layout.width * layout.height, _ENCODE_BYTES_PER_PIXEL.get(options["format"])
    threads = len(os.sched_getaffinity(0)) if per_pixel is None else 0
    row_bytes = layout.width * (layout.channels + layout.has_alpha) * layout.depth // 8
    in_bands = threads * (_BYTES_PER_THREAD + _ROWS_PER_THREAD * row_bytes)
    return Order(
        call="encode",
        memory_bytes=_BASE_BYTES + (in_bands if per_pixel is None else per_pixel * area),
        wall_seconds=_ENCODE_SECONDS + _ENCODE_SECONDS_PER_MEGAPIXEL * area / 1e6,
        options=options,
        threads=threads,
        keep=keep,
    )


def _environment() -> dict[str, str]:
    """All that the codec process inherits. Memory of one band is kept for the next: each new page costs a fault."""
    malloc = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": _KEPT_BYTES, "MALLOC_TRIM_THRESHOLD_": _KEPT_BYTES}
    return {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1", **malloc}


async def _answered(order: Order, status: socket.socket, answer: memoryview) -> memoryview:
    """The bytes that a child answers *order* with, once its exit code has come out of *status*."""
    try:
        async with asyncio.timeout(order.wall_seconds):
            exited = await asyncio.get_running_loop().sock_recv(status, EXIT_CODE.size)
    except TimeoutError:
        raise _death(order, -signal.SIGXCPU) from None
    if len(exited) != EXIT_CODE.size:
        raise refusal("worker_crashed", "The codec process ended during the work.")
    (code,) = EXIT_CODE.unpack(exited)
    if code != 0:
        raise _death(order, code)
    return _body(order, answer)


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
