"""What Hypothesis may do to the life of a key, in any order."""

from contextlib import AbstractContextManager, ExitStack
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.errors import PipelineError
from pipeline.job import Job
from tests.life.stand_ins import Actor, without_a_loop
from tests.life.witness import Witness
from tests.life.world import World

#: Which of those that are there, counted round and round.
WHICH: Final = st.integers(0, 5)
#: An outage of ours, a fault that another try may mend, and a picture that no try helps.
ERRORS: Final = tuple(
    PipelineError("It does not work.", code=code, hint="Wait.", retryable=code != "image_corrupt")
    for code in ("storage_unavailable", "engine_failed", "image_corrupt")
)
#: In seconds: a moment, most of a lease, more than one, longer than ids are remembered, longer than anything.
WAITS: Final = (1.0, 40.0, 46.0, 130.0, 4000.0)
WORKERS: Final = 3
#: Puts and deletes after the first: with every one of them what went on before counts for less.
CHANGES: Final = 3
#: More calls of ports than anybody makes.
FAR: Final = 100
CALLS: Final = st.integers(1, 12)
FEW_CALLS: Final = st.sampled_from([FAR, 2, 3])


class Life(RuleBasedStateMachine):
    """Duplicated, lost and reordered messages, frozen and dead workers, newer versions, cancels, retries and faults."""

    def __init__(self) -> None:
        super().__init__()
        self._opened = ExitStack()
        self._opened.enter_context(without_a_loop())
        self.world = self._opened.enter_context(self.open())
        self.witness = Witness(self.world)
        self.changes = 0

    def open(self) -> AbstractContextManager[World]:
        """A world in which nothing has happened yet."""
        raise NotImplementedError

    @initialize(copies=st.integers(1, 2), calls=CALLS)
    def begin(self, copies: int, calls: int) -> None:
        """Somebody works on a job from the start, since most of what can happen happens to that."""
        self.world.put(copies=copies)
        self._go_on(self.world.take_in(0), FAR)
        self._go_on(self.world.hand_out(0), calls)

    @precondition(lambda self: self.changes < CHANGES)
    @rule(version=WHICH, copies=st.integers(1, 3), deadline=st.sampled_from([None, None, 60]))
    def put(self, version: int, copies: int, deadline: int | None) -> None:
        self.changes += 1
        self.world.put(version, copies=copies, deadline=deadline)

    @precondition(lambda self: self.changes < CHANGES and self.world.present())
    @rule()
    def delete(self) -> None:
        self.changes += 1
        self.world.delete()

    @precondition(lambda self: self.world.notices)
    @rule(which=WHICH)
    def lose_notice(self, which: int) -> None:
        self.world.lose_notice(which)

    @precondition(lambda self: self.world.post.work)
    @rule()
    def lose_messages(self) -> None:
        self.world.lose_messages()

    @precondition(lambda self: self.world.notices)
    @rule(which=WHICH, calls=CALLS)
    def take_in(self, which: int, calls: int) -> None:
        self._go_on(self.world.take_in(which), calls)

    @precondition(lambda self: self.world.post.work and self._workers() < WORKERS)
    @rule(which=WHICH, calls=CALLS)
    def hand_out(self, which: int, calls: int) -> None:
        self._go_on(self.world.hand_out(which), calls)

    @precondition(lambda self: self.world.actors)
    @rule(which=WHICH, calls=CALLS)
    def go_on(self, which: int, calls: int) -> None:
        self._go_on(self._actor(which), calls)

    @precondition(lambda self: self.world.actors)
    @rule(which=WHICH)
    def finish(self, which: int) -> None:
        self._go_on(self._actor(which), FAR)

    @precondition(lambda self: self.world.actors)
    @rule(which=WHICH)
    def die(self, which: int) -> None:
        self.world.die(self._actor(which))

    @precondition(lambda self: self.world.actors)
    @rule(which=WHICH)
    def renew(self, which: int) -> None:
        self.world.renew(self._actor(which))

    @rule(seconds=st.sampled_from(WAITS), repaired=st.booleans())
    def wait(self, seconds: float, *, repaired: bool) -> None:
        self.world.wait(seconds)
        if repaired:
            self.world.repair()

    @precondition(lambda self: self._jobs(ended=False))
    @rule(which=WHICH, calls=FEW_CALLS)
    def cancel(self, which: int, calls: int) -> None:
        jobs = self._jobs(ended=False)
        self._go_on(self.world.cancel(jobs[which % len(jobs)]), calls)

    @precondition(lambda self: self._jobs(ended=True))
    @rule(which=WHICH, calls=FEW_CALLS)
    def retry(self, which: int, calls: int) -> None:
        jobs = self._jobs(ended=True)
        self._go_on(self.world.retry(jobs[which % len(jobs)]), calls)

    @precondition(lambda self: self._workers())
    @rule(error=st.sampled_from([None, *ERRORS]))
    def fail(self, error: PipelineError | None) -> None:
        self.world.fail(error)

    @invariant()
    def holds(self) -> None:
        self.witness.check()

    def teardown(self) -> None:
        with self._opened:
            try:
                self.witness.settle()
            finally:
                self.world.end()

    def _workers(self) -> int:
        return sum(actor.message is not None for actor in self.world.actors)

    def _actor(self, which: int) -> Actor:
        return self.world.actors[which % len(self.world.actors)]

    def _jobs(self, *, ended: bool) -> list[Job]:
        return [job for job in self.world.jobs() if job.terminal is ended]

    def _go_on(self, actor: Actor, calls: int) -> None:
        """So many calls of ports, each of them looked at."""
        for _ in range(calls):
            if actor in self.world.actors:
                self.world.go_on(actor)
                self.witness.check()
