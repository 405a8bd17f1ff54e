"""The process that codec children are forked from: Pillow is loaded once, and no secret was ever in it.

It is started by `processors.sandbox` with an empty environment and one socket. Each packet on that socket orders one
child and brings three descriptors: memory to read, memory to answer into, and a socket that stays with this process.
The child's exit code is sent there; when its other end is closed, the child is killed. The child itself keeps no
descriptor of any of them.
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
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, Protocol, TypeAlias

from pipeline.errors import PipelineError
from processors.picture import Picture, load, store, stored_bytes
from processors.refusals import refusal

Call: TypeAlias = Literal["decode", "encode"]

EXIT_CODE: Final = struct.Struct("<i")  # as subprocess has it: minus the signal's number when one ended the child
ANSWER: Final = struct.Struct("<BQ")  # one of the following three, and how many bytes come after
NOTHING, ANSWERED, REFUSAL = range(3)
MAX_REFUSAL_BYTES: Final = 1000

_NOBODY: Final = 65_534
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_LANDLOCK_CREATE_RULESET: Final = 444  # the same number on every architecture
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_EVERY_FILE_ACCESS: Final = (1 << 13) - 1  # the thirteen of its first version, Linux 5.13


class Codec(Protocol):
    """The module that runs in the children."""

    def decode(self, data: bytes, *, max_pixels: int) -> Picture:
        """File bytes to a picture."""
        ...

    def encode(self, picture: Picture, *, format: str, quality: int | None, lossless: bool) -> bytes:  # noqa: A002
        """A picture to file bytes."""
        ...

    def warm(self) -> None:
        """Load everything: a child can open no file."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """One child's work: *options* are the call's own keyword arguments. Its CPU time ends soon after *wall_seconds*."""

    call: Call
    memory_bytes: int
    wall_seconds: float
    options: dict[str, object]


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
            message, fds, _, _ = socket.recv_fds(control, 65_536, 3)
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
        _work(order, codec, *fds[:2], parent=parent)
    source, answer, status = fds
    os.close(source)
    os.close(answer)
    return Child(pid, os.pidfd_open(pid), socket.socket(fileno=status))


def _settle(child: Child) -> None:
    """Make sure that *child* is gone, and say how it ended to whoever still listens."""
    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    with contextlib.suppress(OSError):
        child.status.send(EXIT_CODE.pack(code))
    child.status.close()
    os.close(child.pidfd)


def _work(order: Order, codec: Codec, source_fd: int, answer_fd: int, *, parent: int) -> NoReturn:
    """The life of a child. Only the exit code and the bytes in the answer memory leave it."""
    code = 1
    try:
        source = memoryview(mmap.mmap(source_fd, 0))
        answer = memoryview(mmap.mmap(answer_fd, 0))
        _confine(memory_bytes=order.memory_bytes, cpu_seconds=math.ceil(order.wall_seconds) + 1)
        if os.getppid() == parent:  # or it died before the kernel was told to end this process with it
            _answer(order, codec, source, answer)
            code = 0
    except BaseException:  # noqa: BLE001 - a child must never return into the loop of its parent
        traceback.print_exc()
    finally:
        os._exit(code)


def _confine(*, memory_bytes: int, cpu_seconds: int) -> None:
    """Give up, for good, everything but computing: no files, sockets, processes, privileges or unbounded memory.

    Memory that is mapped already is kept on top of *memory_bytes*. Landlock is used where the kernel has it: it also
    refuses what needs no descriptor, such as removing a file.
    """
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - before pathlib could be needed
        mapped_bytes = int(file.read().split()[0]) * mmap.PAGESIZE
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
    for kind, soft, hard in _limits(mapped_bytes + memory_bytes, cpu_seconds):
        resource.setrlimit(kind, (soft, hard))
    os.closerange(3, 1 << 20)


def _limits(memory_bytes: int, cpu_seconds: int) -> Iterator[tuple[int, int, int]]:
    yield resource.RLIMIT_AS, memory_bytes, memory_bytes
    yield resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1  # SIGXCPU first, which says why
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        yield kind, 0, 0


def _answer(order: Order, codec: Codec, source: memoryview, answer: memoryview) -> None:
    body = answer[ANSWER.size :]
    try:
        kind, size = ANSWERED, _CALLS[order.call](order, codec, source, body)
    except PipelineError as error:
        kind, size = REFUSAL, _put_refusal(error, body)
    except MemoryError:
        over = refusal("image_too_large", "The picture needs more memory than it may have.")
        kind, size = REFUSAL, _put_refusal(over, body)
    ANSWER.pack_into(answer, 0, kind, size)


def _decode(order: Order, codec: Codec, source: memoryview, body: memoryview) -> int:
    picture = codec.decode(source.tobytes(), **order.options)  # type: ignore[arg-type]
    store(picture, body)
    return stored_bytes(picture)


def _encode(order: Order, codec: Codec, source: memoryview, body: memoryview) -> int:
    data = codec.encode(load(source, max_pixels=len(source)), **order.options)  # type: ignore[arg-type]
    body[: len(data)] = data
    return len(data)


_CALLS: Final = {"decode": _decode, "encode": _encode}


def _put_refusal(error: PipelineError, body: memoryview) -> int:
    text = f"{error.code}\n{error.detail}".encode()[:MAX_REFUSAL_BYTES]
    body[: len(text)] = text
    return len(text)


def main(control_fd: int, codec_name: str) -> None:
    """Load the codec module *codec_name*, say so, and serve."""
    codec: Codec = importlib.import_module(codec_name)
    codec.warm()
    gc.freeze()  # a collection in a child would touch, and so copy, every page of it
    with socket.socket(fileno=control_fd) as control:
        control.send(b"ready")
        serve(control, codec)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
