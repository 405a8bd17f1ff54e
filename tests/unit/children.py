"""The processes that a sandbox started, and what they refuse with."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import get_args

import pytest

from pipeline.errors import PipelineError
from pipeline.formats import Written
from processors.refusals import HINTS
from processors.sandbox import Limits, Sandbox

LIMITS = Limits(max_pixels=1_000_000, wall_seconds=20)
WRITTEN: tuple[Written, ...] = get_args(Written)


async def code_of(work: Awaitable[object]) -> str:
    with pytest.raises(PipelineError) as caught:
        await work
    assert caught.value.hint == HINTS[caught.value.code]
    assert caught.value.retryable == (caught.value.code == "worker_crashed")
    return caught.value.code


def zygote_of(sandbox: Sandbox) -> int:
    assert sandbox._zygote is not None
    return sandbox._zygote.pid


def children(sandbox: Sandbox) -> list[int]:
    pid = zygote_of(sandbox)
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the process table announces nothing
            await asyncio.sleep(0)


async def until_children(sandbox: Sandbox, count: int) -> list[int]:
    await until(lambda: len(children(sandbox)) == count)
    return children(sandbox)


def gone(pid: int) -> bool:
    """Whether *pid* runs no more; an orphan may wait for pid 1 to collect it."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def descriptors_of(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/fd").iterdir())
