"""The life cycle in memory: any schedule that Hypothesis thinks of, and every schedule of a small world.

`SCHEDULES=all` explores larger worlds too, which takes minutes.
"""

import os
from contextlib import AbstractContextManager, nullcontext

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.life.exploring import Bounds, Explorer
from tests.life.in_memory import new_world, one_version
from tests.life.machine import Life
from tests.life.stand_ins import without_a_loop
from tests.life.world import World

USUAL = settings(max_examples=150, stateful_step_count=40)

#: Two workers and one key, in most of them two versions; what else happens, once each, at any moment.
SMALL = {
    "two versions": Bounds(deliveries=2),
    "one version, a worker is frozen": Bounds(deliveries=2, waits=1, puts=0),
    "one delivery, two versions, somebody dies": Bounds(deliveries=1, deaths=1),
    "one version, a cancel and a retry": Bounds(deliveries=2, cancels=1, retries=1, puts=0, asks_at_once=True),
    "one delivery, two versions, a cancel and a retry": Bounds(deliveries=1, cancels=1, retries=1, asks_at_once=True),
}
LARGE = {
    "a worker is frozen": Bounds(deliveries=2, waits=1),
    "somebody dies": Bounds(deliveries=2, deaths=1),
    "a cancel, call by call": Bounds(deliveries=2, cancels=1),
    "a cancel and a retry": Bounds(deliveries=2, cancels=1, retries=1, asks_at_once=True),
}
CHOSEN = SMALL | LARGE if os.environ.get("SCHEDULES") == "all" else SMALL


def test_nothing_is_lost_and_nothing_done_twice_whatever_happens() -> None:
    class InMemory(Life):
        def open(self) -> AbstractContextManager[World]:
            return nullcontext(new_world())

    run_state_machine_as_test(InMemory, settings=USUAL)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", CHOSEN)
def test_nothing_is_lost_and_nothing_done_twice_in_any_schedule(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    explorer = Explorer(one_version, CHOSEN[what])
    with without_a_loop():
        explorer.explore()
    with capsys.disabled():
        print(f"\n{what}: {len(explorer.seen):,} states, {explorer.steps:,} steps")  # noqa: T201 - a result
    assert explorer.ends > 1
