"""The process that codec children are forked from: Pillow is loaded once, and no secret was ever in it.

It is started by `processors.sandbox` with an empty environment and one socket. Each packet on that socket orders one
child and brings three descriptors: memory to read, memory to answer into, and a socket that stays with this process.
The child's exit code is sent there; when its other end is closed, the child is killed. The child itself keeps no
descriptor of any of them. An order to encode brings a fourth, which the child keeps: a counter of the rows that are
final. So it may sleep for as long as they take, and still ends with whoever was to write them.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import math
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, Protocol, TypeAlias

from pipeline.errors import PipelineError
from pipeline.formats import Written
from processors.bands import Bands, Output
from processors.canvas import Canvas
from processors.picture import Picture, store, stored_bytes
from processors.refusals import refusal

Call: TypeAlias = Literal["decode", "encode"]

EXIT_CODE: Final = struct.Struct("<i")  # as subprocess has it: minus the signal's number when one ended the child
#: One of the following three, and how many bytes come after; as long as makes samples behind it lie aligned.
ANSWER: Final = struct.Struct("<BQ55x")
NOTHING, ANSWERED, REFUSAL = range(3)
MAX_REFUSAL_BYTES: Final = 1000

_KEPT_FD: Final = 3
_STACK_BYTES: Final = 1 << 20
_NOBODY: Final = 65_534
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_LANDLOCK_CREATE_RULESET: Final = 444  # the same number on every architecture
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_EVERY_FILE_ACCESS: Final = (1 << 13) - 1  # the thirteen of its first version, Linux 5.13


class Codec(Protocol):
    """The module that runs in the children."""

    def decode(self, data: bytes, *, max_pixels: int, metadata: str, gray: bool) -> Picture:
        """File bytes to a picture."""
        ...

    def write(
        self,
        picture: Picture,
        file: Output,
        bands: Bands,
        *,
        format: Written,  # noqa: A002
        quality: int | None,
        lossless: bool,
    ) -> None:
        """A picture to file bytes, as its rows become final."""
        ...

    def warm(self) -> None:
        """Load everything: a child can open no file."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """One child's work.

    Args:
        call: What it does.
        memory_bytes: What it may take beside the memory that it shares.
        wall_seconds: Its CPU time ends soon after.
        options: The call's own keyword arguments.
        threads: How many work for it.
        keep: The rows of a picture are left as they are once they are encoded.
    """

    call: Call
    memory_bytes: int
    wall_seconds: float
    options: dict[str, Any]
    threads: int = 0
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Child:
    """A running child: *status* is where its exit code goes."""

    pid: int
    pidfd: int
    status: socket.socket


def serve(control: socket.socket, codec: Codec) -> None:
    """Fork a child per order until the other end of *control* closes; then end all of them."""
    poll, children = select.poll(), dict[int, Child]()
    poll.register(control, select.POLLIN)
    while True:
        # One event at a time: handling it may close a descriptor whose number the next event in the list would name.
        fd = poll.poll()[0][0]
        if fd == control.fileno():
            message, fds, _, _ = socket.recv_fds(control, 65_536, 4)
            if not message:
                break
            child = _fork(Order(**json.loads(message)), codec, fds)
            children[child.pidfd] = children[child.status.fileno()] = child
            poll.register(child.pidfd, select.POLLIN)
            poll.register(child.status, 0)  # a hang-up is always reported
        else:
            child = children[fd]
            for key in (child.pidfd, child.status.fileno()):
                poll.unregister(key)
                del children[key]
            _settle(child)
    for child in set(children.values()):
        _settle(child)


def _fork(order: Order, codec: Codec, fds: list[int]) -> Child:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        source, answer, _, *feed = fds
        _work(order, codec, source, answer, *feed, parent=parent)
    source, answer, status, *feed = fds
    for fd in (source, answer, *feed):
        os.close(fd)
    return Child(pid, os.pidfd_open(pid), socket.socket(fileno=status))


def _settle(child: Child) -> None:
    """Make sure that *child* is gone, and say how it ended to whoever still listens."""
    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    with contextlib.suppress(OSError):
        child.status.send(EXIT_CODE.pack(code))
    child.status.close()
    os.close(child.pidfd)


def _work(order: Order, codec: Codec, source_fd: int, answer_fd: int, feed_fd: int = -1, *, parent: int) -> NoReturn:
    """The life of a child. Only the exit code and the bytes in the answer memory leave it."""
    code = 1
    try:
        source = mmap.mmap(source_fd, 0, access=mmap.ACCESS_READ if order.keep else mmap.ACCESS_WRITE)
        answer = mmap.mmap(answer_fd, 0)
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - before pathlib could be needed
            mapped_bytes = int(file.read().split()[0]) * mmap.PAGESIZE
        _confine(feed_fd)
        work = _CALLS[order.call](order, codec, source)  # its threads start here and inherit what came before
        _limit(memory_bytes=mapped_bytes + order.memory_bytes, cpu_seconds=math.ceil(order.wall_seconds) + 1)
        if os.getppid() == parent:  # or it died before the kernel was told to end this process with it
            _answer(work, answer)
            code = 0
    except BaseException:  # noqa: BLE001 - a child must never return into the loop of its parent
        traceback.print_exc()
    finally:
        os._exit(code)


def _confine(kept_fd: int) -> None:
    """Give up, for good, files, sockets and privileges; of open descriptors, *kept_fd* alone is left.

    Landlock is used where the kernel has it: it also refuses what needs no descriptor, such as removing a file.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    every_access = struct.pack("<Q", _LANDLOCK_EVERY_FILE_ACCESS)
    libc.syscall(_LANDLOCK_RESTRICT_SELF, libc.syscall(_LANDLOCK_CREATE_RULESET, every_access, len(every_access), 0), 0)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    os.dup2(0, 2)  # what a C library says about a stranger's bytes is nothing for our log
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if kept_fd >= 0:
        os.dup2(kept_fd, _KEPT_FD)
    os.closerange(_KEPT_FD + (kept_fd >= 0), 1 << 20)


def _limit(*, memory_bytes: int, cpu_seconds: int) -> None:
    """Bound memory and time, and open, start and write nothing more. All threads of the process share these limits."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))  # SIGXCPU first, which says why
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(kind, (0, 0))


def _answer(work: Callable[[mmap.mmap], None], answer: mmap.mmap) -> None:
    """Put behind the head of *answer* what *work* writes there, or what it refuses with; then the head."""
    answer.seek(ANSWER.size)
    try:
        work(answer)
        kind = ANSWERED
    except PipelineError as error:
        kind = _put_refusal(error, answer)
    except MemoryError:
        kind = _put_refusal(refusal("image_too_large", "The picture needs more memory than it may have."), answer)
    ANSWER.pack_into(answer, 0, kind, answer.tell() - ANSWER.size)


def _decoding(order: Order, codec: Codec, source: mmap.mmap) -> Callable[[mmap.mmap], None]:
    def decode(answer: mmap.mmap) -> None:
        picture = codec.decode(source[:], **order.options)
        store(picture, memoryview(answer)[ANSWER.size :])
        answer.seek(ANSWER.size + stored_bytes(picture))

    return decode


def _encoding(order: Order, codec: Codec, source: mmap.mmap) -> Callable[[mmap.mmap], None]:
    canvas = Canvas(source, _KEPT_FD, keep=order.keep)
    bands = Bands(order.threads, wait=canvas.wait, drop=canvas.drop)
    return lambda answer: codec.write(canvas.picture, answer, bands, **order.options)


_CALLS: Final = {"decode": _decoding, "encode": _encoding}


def _put_refusal(error: PipelineError, answer: mmap.mmap) -> int:
    answer.seek(ANSWER.size)
    answer.write(f"{error.code}\n{error.detail}".encode()[:MAX_REFUSAL_BYTES])
    return REFUSAL


def main(control_fd: int, codec_name: str) -> None:
    """Load the codec module *codec_name*, say so, and serve."""
    codec: Codec = importlib.import_module(codec_name)
    codec.warm()
    threading.stack_size(_STACK_BYTES)  # of children's threads: it counts as their memory
    gc.freeze()  # a collection in a child would touch, and so copy, every page of it
    with socket.socket(fileno=control_fd) as control:
        control.send(b"ready")
        serve(control, codec)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
