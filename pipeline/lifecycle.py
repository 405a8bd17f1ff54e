"""How a service lives: a stop event that signals set, and side tasks whose death is the death of the process."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from pipeline.ports.bus import Bus

log = structlog.get_logger()

Work = Callable[[asyncio.Event], Awaitable[None]]


async def serve(bus: Bus, *works: Work) -> None:
    """Run every work until SIGTERM or SIGINT, then wait for all of them to finish.

    A work that raises, or a bus connection that is gone for good, ends the process: the supervisor starts it afresh.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def watch() -> None:
        await bus.closed.wait()
        if not stop.is_set():
            raise ConnectionError("the bus connection is closed for good")

    log.info("service.ready")  # only now: from here a signal is understood
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        tasks = [group.create_task(_run(work, stop)) for work in works]
        await asyncio.wait(tasks)
        watching.cancel()


async def repeat(turn: Callable[[], Awaitable[object]], *, every_seconds: float, stop: asyncio.Event) -> None:
    """Take turns at an interval until *stop*, which cuts one off; one that fails is logged, and the next one comes."""
    while not stop.is_set():
        try:
            await _unless(stop, turn)
        except Exception:  # a server that is away must not end the process: the work waits for the next turn
            log.exception("turn.failed", turn=getattr(turn, "__qualname__", repr(turn)))
        with suppress(TimeoutError):
            async with asyncio.timeout(every_seconds):
                await stop.wait()


async def _unless(stop: asyncio.Event, turn: Callable[[], Awaitable[object]]) -> None:
    """One turn; where *stop* comes first it is canceled, for what a crash may do to it a stop may do, too."""
    turning, stopping = asyncio.ensure_future(turn()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([turning, stopping], return_when=asyncio.FIRST_COMPLETED)
        turning.cancel()
        await asyncio.wait([turning])
        if not turning.cancelled():
            turning.result()
    finally:
        turning.cancel()
        stopping.cancel()


async def _run(work: Work, stop: asyncio.Event) -> None:
    await work(stop)
