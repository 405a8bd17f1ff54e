import asyncio

import pytest

from processors.budget import PixelBudget

pytestmark = pytest.mark.anyio


class Jobs:
    """Jobs that hold their pixels until they are told to leave."""

    def __init__(self, pixels: int) -> None:
        self.budget, self.inside = PixelBudget(pixels), set[str]()
        self.leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def come(self, name: str, pixels: int) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._work(name, pixels))

    async def _work(self, name: str, pixels: int) -> None:
        async with self.budget.taken(pixels):
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
