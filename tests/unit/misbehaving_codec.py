"""A codec that does to its process whatever the bytes say: what a taken-over decoder could try."""

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from processors.bands import Bands, Output
from processors.picture import Picture

_LIBC = ctypes.CDLL(None, use_errno=True)


def decode(data: bytes, *, max_pixels: int, metadata: str, gray: bool) -> Picture:
    name, _, argument = data.decode().partition(" ")
    text = BEHAVIOURS[name](argument)
    return Picture(pixels=np.zeros((1, 1, 1), np.uint8), alpha=None, icc=json.dumps(text).encode(), format="png")


def write(picture: Picture, file: Output, bands: Bands, *, format: str, quality: int | None, lossless: bool) -> None:  # noqa: A002
    """Behave in each of the threads, or here when they are left out."""
    name, _, argument = (picture.icc or b"").decode().partition(" ")
    if name == "here":
        name, _, argument = argument.partition(" ")
        bands = Bands()
    answers = bands.each(lambda _: BEHAVIOURS[name](argument), height=picture.height, rows=1)
    file.write(json.dumps(list(answers)).encode())


def warm() -> None:
    pass


def _raise_limit() -> None:
    """Up from what a child has; elsewhere the limits stay, or the rest of the tests would run out of files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 64), max(hard, 64)))


def attempts(argument: str) -> list[str]:
    """What of this succeeds: each would let a decoder reach beyond its own memory."""
    about = json.loads(argument)
    ways: dict[str, Callable[[], object]] = {
        "read a file": Path("/etc/passwd").read_bytes,
        "read the worker's environment": Path(f"/proc/{about['pid']}/environ").read_bytes,
        "read the worker's memory": lambda: _read_memory(about["pid"], about["address"]),
        "remove a file": Path(about["victim"]).unlink,
        "make a folder": Path(about["folder"]).mkdir,
        "open a socket": _open_socket,
        "open a pipe": _open_pipe,
        "start a process": _fork,
        "raise a limit": _raise_limit,
        "start a thread": threading.Thread(target=int).start,
        "use an open descriptor": lambda: _first_open(about.get("descriptors", 3)),
        "write to the log": _write_to_log,
        "grow without bound": lambda: mmap.mmap(-1, 1 << 42),
    }
    return [way for way, call in ways.items() if _succeeds(call)]


def _succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except (OSError, ValueError, RuntimeError):
        return False
    return True


def _first_open(start: int) -> int:
    for fd in range(start, 1024):
        if _succeeds(lambda fd=fd: os.fstat(fd)):  # type: ignore[misc]
            return fd
    raise OSError("none is open")


def _write_to_log() -> None:
    if os.fstat(2).st_rdev == Path(os.devnull).stat().st_rdev:
        raise OSError("it is the null device")
    os.write(2, b"")


def _open_socket() -> None:
    with socket.socket():
        pass


def _open_pipe() -> None:
    for fd in os.pipe():
        os.close(fd)


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _read_memory(pid: int, address: int) -> None:
    buffer = ctypes.create_string_buffer(1)
    here = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 1)
    there = (ctypes.c_void_p * 2)(address, 1)
    if _LIBC.process_vm_readv(pid, here, 1, there, 1, 0) != 1:
        raise OSError(ctypes.get_errno(), "process_vm_readv")


def _hang(_argument: str) -> NoReturn:
    while True:
        signal.pause()


def _hog(_argument: str) -> NoReturn:
    held = []
    while True:
        held.append(np.ones(1 << 20))


BEHAVIOURS: dict[str, Callable[[str], Any]] = {
    "answer": str,
    "attempts": attempts,
    "environment": lambda _: dict(os.environ),
    "exit": lambda _: os._exit(0),
    "hang": _hang,
    "hog": _hog,
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "raise": lambda _: 1 // 0,
    "segfault": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "spend": lambda _: os.kill(os.getpid(), signal.SIGXCPU),
}
