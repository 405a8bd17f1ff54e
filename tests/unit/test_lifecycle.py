"""How a service takes its turns: at once, at an interval, through failures, until it is told to stop."""

import asyncio

import pytest

from pipeline.lifecycle import repeat

pytestmark = pytest.mark.anyio
DEADLINE_SECONDS = 5.0


async def test_the_first_turn_comes_at_once_and_stop_ends_the_waiting() -> None:
    stop, taken = asyncio.Event(), asyncio.Event()

    async def turn() -> None:
        taken.set()

    async with asyncio.timeout(DEADLINE_SECONDS):
        repeating = asyncio.create_task(repeat(turn, every_seconds=3600, stop=stop))
        await taken.wait()
        stop.set()
        await repeating


async def test_a_turn_that_fails_does_not_end_the_turns() -> None:
    stop = asyncio.Event()
    turns: list[int] = []

    async def turn() -> None:
        turns.append(len(turns))
        if len(turns) == 3:
            stop.set()
        raise ValueError("away")

    async with asyncio.timeout(DEADLINE_SECONDS):
        await repeat(turn, every_seconds=0.001, stop=stop)
    assert turns == [0, 1, 2]


async def test_a_canceled_repetition_ends() -> None:
    async def turn() -> None:
        repeating.cancel()

    repeating = asyncio.create_task(repeat(turn, every_seconds=3600, stop=asyncio.Event()))
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await repeating


async def test_stop_cuts_off_a_turn_that_is_under_way() -> None:
    stop, begun = asyncio.Event(), asyncio.Event()
    cut: list[str] = []

    async def turn() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append("cut")
            raise

    async with asyncio.timeout(DEADLINE_SECONDS):
        repeating = asyncio.create_task(repeat(turn, every_seconds=3600, stop=stop))
        await begun.wait()
        stop.set()
        await repeating
    assert cut == ["cut"]
