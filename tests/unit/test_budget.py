import asyncio

import pytest

from processors.budget import PixelBudget
from processors.enlarge import Stopped

pytestmark = pytest.mark.anyio


class Jobs:
    """Jobs that hold their pixels until they are told to leave."""

    def __init__(self, pixels: int, urgent: int = 0) -> None:
        self.budget, self.inside = PixelBudget(pixels, urgent=urgent), set[str]()
        self.leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def come(self, name: str, pixels: int, *, urgent: bool = False) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._work(name, pixels, urgent=urgent))

    async def _work(self, name: str, pixels: int, *, urgent: bool) -> None:
        async with self.budget.taken(pixels, urgent=urgent):
            self.inside.add(name)
            await self.leave[name].wait()
            self.inside.remove(name)

    async def settled(self) -> set[str]:
        for _ in range(10):
            await asyncio.sleep(0)
        return set(self.inside)

    async def end(self, name: str) -> None:
        self.leave[name].set()
        await self.tasks[name]


async def test_jobs_share_what_there_is_and_wait_for_the_rest() -> None:
    jobs = Jobs(10)
    for name, pixels in (("a", 4), ("b", 6), ("c", 1)):
        jobs.come(name, pixels)
    assert await jobs.settled() == {"a", "b"}
    await jobs.end("b")
    assert await jobs.settled() == {"a", "c"}
    for name in ("a", "c"):
        await jobs.end(name)


async def test_a_job_larger_than_the_budget_works_alone() -> None:
    jobs = Jobs(10)
    for name, pixels in (("small", 1), ("huge", 1000), ("next", 1)):
        jobs.come(name, pixels)
    assert await jobs.settled() == {"small"}  # nobody slips past the huge one
    await jobs.end("small")
    assert await jobs.settled() == {"huge"}
    await jobs.end("huge")
    assert await jobs.settled() == {"next"}
    await jobs.end("next")


async def test_a_job_that_breaks_or_is_cancelled_gives_its_pixels_back() -> None:
    jobs = Jobs(10)
    jobs.come("first", 10)
    jobs.come("second", 10)
    assert await jobs.settled() == {"first"}
    jobs.come("third", 10)
    jobs.tasks["second"].cancel()
    jobs.tasks["first"].cancel()
    jobs.inside.clear()
    assert await jobs.settled() == {"third"}
    await jobs.end("third")


async def test_an_urgent_job_that_fits_into_its_part_never_waits_behind_a_large_one() -> None:
    jobs = Jobs(10, urgent=4)
    for name, pixels, urgent in (("huge", 1000, False), ("waits", 1, False), ("quick", 4, True), ("large", 5, True)):
        jobs.come(name, pixels, urgent=urgent)
    assert await jobs.settled() == {"huge", "quick"}
    for name in ("quick", "huge", "waits", "large"):
        await jobs.end(name)


async def test_urgent_jobs_take_the_common_part_too_while_nobody_waits_for_it() -> None:
    jobs = Jobs(10, urgent=4)
    for name in ("a", "b", "c", "d"):
        jobs.come(name, 4, urgent=True)
    assert await jobs.settled() == {"a", "b", "c"}
    await jobs.end("a")
    await jobs.end("c")
    assert await jobs.settled() == {"b", "d"}
    for name in ("b", "d"):
        await jobs.end(name)


async def test_an_urgent_job_does_not_queue_behind_a_large_one_where_there_is_room_beside_it() -> None:
    jobs = Jobs(10, urgent=4)
    for name, pixels, urgent in (("small", 5, False), ("huge", 1000, False), ("quick", 4, True)):
        jobs.come(name, pixels, urgent=urgent)
    assert await jobs.settled() == {"small", "quick"}
    for name in ("small", "quick", "huge"):
        await jobs.end(name)


async def test_a_job_that_should_stop_while_it_waits_does_and_keeps_nobody_out() -> None:
    budget, stop = PixelBudget(10, look_seconds=0.001), asyncio.Event()

    async def wait() -> None:
        async with budget.taken(10, should_stop=stop.is_set):
            raise AssertionError("it has no room")

    async with asyncio.timeout(5), budget.taken(5):
        waiting = asyncio.create_task(wait())
        behind = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        stop.set()
        for task in (waiting, behind):
            with pytest.raises(Stopped):
                await task
        async with budget.taken(5, should_stop=stop.is_set):
            pass
