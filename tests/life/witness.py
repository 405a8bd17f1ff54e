"""Who looks at a world after every step, and says what must not have happened."""

from collections import defaultdict
from datetime import timedelta
from typing import Final

from pipeline.events import TERMINAL_EVENTS, Message
from pipeline.identity import event_id
from pipeline.job import MAX_FAULTS, Job, Status
from pipeline.lease import LEASE_SECONDS
from tests.life.world import World

HOUR: Final = timedelta(hours=1)
TERMINAL_TYPES: Final = frozenset(TERMINAL_EVENTS.values())
#: So many turns of the sweep bring any world to rest.
TURNS: Final = 40


class Witness:
    """Remembers what it saw, because most of what must not happen is a change."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._before: dict[str, Job] = {}
        self._ends: dict[tuple[str, int], set[str]] = defaultdict(set)
        self._stamp = ""

    def check(self) -> None:
        """Every invariant; raises `AssertionError`."""
        jobs = self.world.jobs()
        for job in jobs:
            self._check_step(self._before.get(job.id), job)
            self._check_ends(job)
            self._check_remembered(job)
        self._check_output(jobs)
        self._before = {job.id: job for job in jobs}

    def _check_step(self, before: Job | None, after: Job) -> None:
        assert "internal_error" not in {after.status_reason, after.error and after.error.code}, "a bug in the worker"
        if before is None:
            return
        if before.model_copy(update={"lease_until": after.lease_until}) != after:
            assert after.rev == before.rev + 1, "every change but a renewal is a new revision"
        assert after.run in (before.run, before.run + 1)
        if after.run == before.run:
            assert not before.terminal or after == before, "terminal is terminal for its run"
            assert after.attempt in (before.attempt, before.attempt + 1)
            if after.attempt > before.attempt:
                assert not before.leased(self.world.clock()), "a live lease was broken"
        else:
            assert before.terminal, "a run began before the last one had ended"
            assert before.status is not Status.SUCCEEDED, "a run that had succeeded was done again"

    def _check_ends(self, job: Job) -> None:
        """One event id ends a run: whether it waits in the outbox or went out."""
        for message in [*self.world.post.published, *self.world.owed(job)]:
            self._note_end(job, message)
        for run in range(1, job.run):
            assert len(self._ends[job.id, run]) == 1, f"run {run} did not end once: {self._ends[job.id, run]}"
        stored = {event_id(job.id, job.run, TERMINAL_EVENTS[job.status])} if job.terminal else set()
        assert self._ends[job.id, job.run] == stored, "the end that is told is not the one that is stored"

    def _note_end(self, job: Job, message: Message) -> None:
        kind = f"job.{message.subject.rpartition('.')[2]}"
        if kind in TERMINAL_TYPES and message.subject.split(".")[2] == job.id:
            run = next(run for run in range(1, job.run + 1) if message.id == event_id(job.id, run, kind))
            self._ends[job.id, run].add(message.id)

    def _check_remembered(self, job: Job) -> None:
        """What is not over has a message, or owes one, or is found when that was lost."""
        if job.terminal or f"{job.id}:{job.run}:work" in self.world.post.work or self.world.owed(job):
            return
        later = self.world.clock() + HOUR
        found = self.world.run(self.world.documents.jobs.adrift(later, later, limit=100))
        assert job.id in {one.id for one in found}, f"{job.id} is forgotten: {job.status}"

    def _check_output(self, jobs: list[Job]) -> None:
        """It never becomes older, and nobody was told that it would not come."""
        info = self.world.output()
        stamp = (info.metadata["up-source-sequencer"] + info.metadata["up-attempt"]) if info else ""
        assert stamp >= self._stamp, "an output was replaced by an older one, or lost"
        self._stamp = stamp
        if info is None:
            return
        author = next(job for job in jobs if job.id == info.metadata["up-job"])
        if author.run == int(info.metadata["up-attempt"].partition(".")[0]):
            called_off = {Status.CANCELED, Status.EXPIRED, Status.QUEUED}
            assert author.status not in called_off, "an output of a job that was called off"

    def settle(self) -> None:
        """Everybody goes on, nothing more goes wrong, and what was lost is found; then the outcome."""
        self.world.failing = None
        for turn in range(TURNS):
            self._drain()
            if self._at_rest() and (turn or not self.world.notices_lost):
                break
            self.world.wait(2 * LEASE_SECONDS)
            if not self.world.post.work:
                self.world.wait(HOUR.total_seconds())
            self.world.repair()
            self.check()
        self._check_rest()
        self._check_outcome()

    def _at_rest(self) -> bool:
        world = self.world
        return not world.notices and not world.post.work and not self._untold()

    def _drain(self) -> None:
        self._finish_all()
        while self.world.notices:
            self.world.take_in(0)
            self._finish_all()
        for id_ in sorted(self.world.post.work):
            if id_ in self.world.post.work:
                self.world.hand_out(sorted(self.world.post.work).index(id_))
                self._finish_all()

    def _finish_all(self) -> None:
        while self.world.actors:
            self.world.go_on(self.world.actors[0])
            self.check()

    def _untold(self) -> list[str]:
        """Jobs that are not over, and ends of runs that were not published."""
        told = {message.id for message in self.world.post.published}
        going_on = [job.id for job in self.world.jobs() if not job.terminal]
        return going_on + [id_ for ends in self._ends.values() for id_ in ends - told]

    def _check_rest(self) -> None:
        assert not self.world.notices
        assert self._untold() == []

    def _check_outcome(self) -> None:
        """The newest version has the last word."""
        last, info = self.world.last, self.world.output()
        if last is None or last.etag is None:
            return
        version = int(last.sequencer, 16) // 10**6
        newest = [job for job in self.world.jobs() if int(job.source.sequencer or "0", 16) // 10**6 == version]
        assert len(newest) == 1, "one job for one version"
        (job,) = newest
        if job.status is Status.SUCCEEDED:
            assert info is not None
            assert (info.etag, info.metadata["up-job"]) == (job.outputs[0].etag, job.id)
        else:
            code = job.error.code if job.error else job.status_reason
            crashed = {"worker_crashed"} if len(job.lapses) >= MAX_FAULTS - 1 else set()
            assert code in self.world.excuses | crashed, f"the newest version has no output: {job.status} {code}"
