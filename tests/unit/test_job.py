"""The states of a job: which steps exist, and what holds whoever calls them, twice or too late."""

from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.adapters.memory import MemoryJobs
from pipeline.errors import PipelineError
from pipeline.identity import moment_of
from pipeline.job import (
    LEASED,
    TERMINAL,
    Job,
    JobOptions,
    Lapse,
    Output,
    Source,
    Status,
    TransitionError,
    Verdict,
    cancel,
    claim,
    enqueue,
    expire,
    fail,
    publish,
    reject,
    release,
    retry,
    succeed,
)
from tests.making import NOON, Clock, a_job, finished, sequencer

LEASE_SECONDS = 45.0
SOURCE = Source(bucket="uploads", key="a.png", etag="e2", sequencer="2")
ERROR = PipelineError("It is cut short.", code="image_truncated", hint="Send it again.", retryable=False)
PASS = Verdict(verdict="pass")
OUTPUT = Output(bucket="outputs", key="a.png", etag="o", sha256="s", bytes=1, width=4, height=4, format="png")

S = Status
STEPS: dict[str, Callable[[Job], Job]] = {
    "enqueue": lambda job: enqueue(job, NOON, source=SOURCE, options=JobOptions(), lane="bulk"),
    "reject": lambda job: reject(job, NOON, source=SOURCE, options=JobOptions(), error=ERROR),
    "claim": lambda job: claim(job, NOON, lease_seconds=LEASE_SECONDS),
    "release": lambda job: release(job, NOON, reason="an outage", fault=False),
    "publish": lambda job: publish(job, NOON, lease_seconds=LEASE_SECONDS),
    "succeed": lambda job: succeed(job, NOON, outputs=(OUTPUT,), quality=PASS),
    "fail": lambda job: fail(job, NOON, ERROR),
    "cancel": lambda job: cancel(job, NOON, reason="canceled_by_owner"),
    "expire": lambda job: expire(job, NOON, reason="deadline"),
    "retry": lambda job: retry(job, NOON, lane="bulk"),
}
#: Step -> what it makes of each status; a status that is missing refuses the step.
TABLE: dict[str, dict[Status, Status]] = {
    "enqueue": dict.fromkeys(Status, S.QUEUED),
    "reject": dict.fromkeys(Status, S.FAILED),
    "claim": {S.QUEUED: S.PROCESSING, S.PROCESSING: S.PROCESSING, S.PUBLISHING: S.PUBLISHING},
    "publish": dict.fromkeys((S.PROCESSING, S.PUBLISHING), S.PUBLISHING),  # once more by who claims it again
    "succeed": {S.PUBLISHING: S.SUCCEEDED},
    "fail": dict.fromkeys((S.AWAITING_UPLOAD, S.QUEUED, S.PROCESSING, S.PUBLISHING), S.FAILED),
    "cancel": dict.fromkeys((S.AWAITING_UPLOAD, S.QUEUED, S.PROCESSING), S.CANCELED),
    "expire": dict.fromkeys((S.AWAITING_UPLOAD, S.QUEUED, S.PROCESSING), S.EXPIRED),
    "retry": dict.fromkeys(TERMINAL, S.QUEUED),
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("step", TABLE)
def test_a_step_exists_exactly_where_the_table_has_it(step: str, status: Status) -> None:
    job = a_job(status)
    if status in TABLE[step]:
        after = STEPS[step](job)
        assert (after.status, after.rev) == (TABLE[step][status], job.rev + 1)
    else:
        with pytest.raises(TransitionError):
            STEPS[step](job)


@pytest.mark.parametrize("status", TERMINAL)
@pytest.mark.parametrize("step", STEPS)
def test_a_finished_job_moves_only_into_a_new_run(step: str, status: Status) -> None:
    job = a_job(status, run=3)
    try:
        after = STEPS[step](job)
    except TransitionError:
        return
    assert after.run == 4


@pytest.mark.parametrize(("status", "waits"), [(S.PROCESSING, S.QUEUED), (S.PUBLISHING, S.PUBLISHING)])
def test_a_released_job_waits_without_a_lease_and_says_why(status: Status, waits: Status) -> None:
    job = release(a_job(status, lease_until=NOON, attempt=2), NOON, reason="an outage", fault=False)
    assert (job.status, job.lease_until, job.status_reason, job.attempt) == (waits, None, "an outage", 2)


def test_a_job_that_was_released_past_its_commit_point_is_claimed_without_a_fault_and_never_canceled() -> None:
    waiting = release(a_job(S.PUBLISHING, lease_until=NOON), NOON, reason="an outage", fault=False)
    assert claim(waiting, NOON, lease_seconds=LEASE_SECONDS).lapses == ()
    with pytest.raises(TransitionError):
        cancel(waiting, NOON, reason="too late")


def test_the_first_upload_of_an_announced_job_is_run_one_and_a_later_one_is_the_next_run() -> None:
    first = STEPS["enqueue"](a_job(S.AWAITING_UPLOAD))
    second = STEPS["enqueue"](first)
    assert (first.run, second.run) == (1, 2)


@pytest.mark.parametrize("step", ["enqueue", "reject"])
def test_a_new_run_forgets_everything_of_the_last_one(step: str) -> None:
    old = a_job(
        S.SUCCEEDED, attempt=2, faults=1, outputs=(OUTPUT,), quality=PASS, notes=("a_note",),
        started_at=NOON, completed_at=NOON, rev=9,
    )  # fmt: skip
    new = STEPS[step](old)
    assert (new.run, new.attempt, new.faults, new.outputs, new.quality) == (2, 0, 0, (), None)
    assert (new.started_at, new.lease_until, new.source, new.rev, new.notes) == (None, None, SOURCE, 10, ())


def test_a_job_that_succeeds_carries_its_notes_and_one_that_fails_its_verdict() -> None:
    publishing = a_job(S.PUBLISHING)
    noted = succeed(publishing, NOON, outputs=(OUTPUT,), quality=PASS, notes=("first_frame_only",))
    assert (noted.quality, noted.notes) == (PASS, ("first_frame_only",))
    bad = Verdict(verdict="fail", psnr_db=12.5, failed=("psnr_db",))
    failed = fail(publishing, NOON, ERROR, quality=bad)
    assert (failed.status, failed.quality, failed.outputs) == (S.FAILED, bad, ())


def test_a_job_that_was_stored_before_there_were_notes_and_figures_is_read() -> None:
    old = a_job(quality=PASS).model_dump(exclude={"notes"})
    old["quality"] = {"verdict": "pass"}
    assert Job.model_validate(old).quality == PASS
    assert Job.model_validate(old).notes == ()


@pytest.mark.parametrize("status", [S.PROCESSING, S.PUBLISHING])
def test_claiming_a_lapsed_job_notes_who_fell_silent_and_when(status: Status) -> None:
    first = claim(a_job(status), NOON, lease_seconds=LEASE_SECONDS, worker="w1")
    assert first.lapses == ()
    later = first.lease_until
    assert later is not None
    assert first.lapsed == (Lapse(worker="w1", at=later),)
    second = claim(first, later, lease_seconds=LEASE_SECONDS, worker="w2")
    assert (second.lapses, second.worker, second.faults) == ((Lapse(worker="w1", at=later),), "w2", 0)
    given_back = release(second, later, reason="an outage", fault=False)
    assert given_back.lapsed == second.lapses
    assert claim(given_back, later, lease_seconds=LEASE_SECONDS).lapses == second.lapses


def test_a_retry_is_a_new_run_of_the_same_source_and_options_with_its_deadline_afresh() -> None:
    options = JobOptions(effective={"deadline": 60})
    old = a_job(
        S.EXPIRED, run=2, attempt=3, faults=2, lapses=(Lapse(at=NOON),), worker="w", options=options, expires_at=NOON
    )
    now = NOON + timedelta(hours=1)
    new = retry(old, now, lane="interactive")
    assert (new.status, new.run, new.attempt, new.faults, new.lapses, new.worker) == (S.QUEUED, 3, 0, 0, (), None)
    assert (new.source, new.options, new.queued_at) == (old.source, old.options, now)
    assert new.expires_at == now + timedelta(seconds=60)


def test_a_deadline_counts_from_the_upload_not_from_when_we_looked_at_it() -> None:
    source = SOURCE.model_copy(update={"sequencer": sequencer(1)})
    new = enqueue(a_job(), NOON, source=source, options=JobOptions(effective={"deadline": 60}), lane="bulk")
    assert new.expires_at == moment_of(sequencer(1)) + timedelta(seconds=60)
    assert new.overdue(NOON)


@pytest.mark.parametrize("status", Status)
def test_a_job_is_overdue_until_its_commit_point_or_its_end(status: Status) -> None:
    job = a_job(status, expires_at=NOON)
    late = NOON + timedelta(seconds=1)
    assert job.overdue(late) == (status in {S.AWAITING_UPLOAD, S.QUEUED, S.PROCESSING})
    assert not job.overdue(NOON)
    assert not a_job(status).overdue(late)


def test_a_job_past_its_commit_point_stays_there_when_it_is_claimed_again() -> None:
    again = claim(a_job(S.PUBLISHING, attempt=1), NOON, lease_seconds=LEASE_SECONDS)
    with pytest.raises(TransitionError):
        cancel(again, NOON, reason="too late")


def test_passing_the_commit_point_keeps_a_whole_lease_however_long_the_work_took() -> None:
    claimed = claim(a_job(), NOON, lease_seconds=LEASE_SECONDS)
    later = NOON + timedelta(seconds=10 * LEASE_SECONDS)
    publishing = publish(claimed, later, lease_seconds=LEASE_SECONDS)
    assert publishing.leased(later + timedelta(seconds=LEASE_SECONDS - 1))


@given(st.sampled_from(Status), st.floats(-100, 100) | st.none())
def test_a_job_is_leased_while_a_worker_holds_it_and_its_time_is_not_up(status: Status, left: float | None) -> None:
    until = None if left is None else NOON + timedelta(seconds=left)
    held = a_job(status, lease_until=until).leased(NOON)
    assert held == (status in {S.PROCESSING, S.PUBLISHING} and until is not None and until > NOON)


class JobLife(RuleBasedStateMachine):
    """Uploads, workers and an impatient owner at one stored job; workers act on what they last saw, also twice."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.clock = MemoryJobs(), Clock()
        #: What each worker believes to hold, and what it saved last, to send it a second time.
        self.held: dict[str, Job] = {}
        self.saved: list[Job] = []

    @initialize(announced=st.booleans())
    def begin(self, *, announced: bool) -> None:
        self.job = a_job(S.AWAITING_UPLOAD if announced else S.QUEUED)
        finished(self.store.insert(self.job))

    def stored(self) -> Job:
        job = finished(self.store.get(self.job.id))
        assert job is not None
        return job

    def save(self, job: Job) -> bool:
        """Store *job* as every writer does, and check what may have changed by it."""
        before = self.stored()
        won = finished(self.store.save(job))
        after = self.stored()
        assert after == (job if won else before)
        assert after.rev == before.rev + won
        self.check_step(before, after)
        self.saved.append(job)
        return won

    def check_step(self, before: Job, after: Job) -> None:
        assert after.run in (before.run, before.run + 1)
        if after.run == before.run:
            assert not before.terminal or after == before, "terminal is terminal for its run"
            assert after.attempt in (before.attempt, before.attempt + 1)

    @rule(good=st.booleans(), lane=st.sampled_from(["interactive", "bulk"]))
    def upload(self, *, good: bool, lane: Literal["interactive", "bulk"]) -> None:
        job = self.stored()
        if good:
            new = enqueue(job, self.clock(), source=SOURCE, options=JobOptions(), lane=lane)
        else:
            new = reject(job, self.clock(), source=SOURCE, options=JobOptions(), error=ERROR)
        assert self.save(new)
        assert self.stored().run == job.run + (job.status is not S.AWAITING_UPLOAD)

    @rule(worker=st.sampled_from("ab"))
    def take(self, worker: str) -> None:
        job = self.stored()
        if job.leased(self.clock()) or job.status not in {S.QUEUED, *LEASED}:
            return
        claimed = claim(job, self.clock(), lease_seconds=LEASE_SECONDS)
        assert self.save(claimed)
        assert len(claimed.lapses) == len(job.lapses) + (job.lease_until is not None)
        assert claimed.attempt == job.attempt + 1
        self.held[worker] = claimed

    @precondition(lambda self: self.held)
    @rule(data=st.data(), step=st.sampled_from(["publish", "succeed", "fail", "release"]), fault=st.booleans())
    def go_on(self, data: st.DataObject, step: str, *, fault: bool) -> None:
        worker = data.draw(st.sampled_from(sorted(self.held)))
        mine, before = self.held[worker], self.stored()
        try:
            new = release(mine, self.clock(), reason="r", fault=fault) if step == "release" else STEPS[step](mine)
        except TransitionError:
            return
        won = self.save(new)
        assert won == (before.rev == mine.rev), "only the latest revision's holder may write"
        if won:
            self.held[worker] = new
            assert new.faults == mine.faults + (step == "release" and fault)

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        late = data.draw(st.sampled_from(self.saved))
        assert finished(self.store.save(late)) is False, "a write that comes twice changes nothing"

    @rule()
    def cancel(self) -> None:
        job = self.stored()
        try:
            canceled = cancel(job, self.clock(), reason="canceled_by_owner")
        except TransitionError:
            assert job.status is S.PUBLISHING or job.terminal
        else:
            assert job.status in {S.AWAITING_UPLOAD, S.QUEUED, S.PROCESSING}
            assert self.save(canceled)

    @rule(seconds=st.sampled_from([1.0, LEASE_SECONDS + 1]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        mine, before = self.held[data.draw(st.sampled_from(sorted(self.held)))], self.stored()
        until = self.clock() + timedelta(seconds=LEASE_SECONDS)
        ours = (before.run, before.attempt) == (mine.run, mine.attempt) and before.status in LEASED
        ours = ours and before.lease_until is not None
        assert finished(self.store.renew(mine, until)) == ours
        assert self.stored() == (before.model_copy(update={"lease_until": until}) if ours else before)

    @invariant()
    def a_lease_belongs_to_a_worker(self) -> None:
        job = self.stored()
        if job.status is not S.PUBLISHING:  # one that was given back past its commit point waits without a lease
            assert (job.lease_until is None) == (job.status is not S.PROCESSING)


TestJobLife = JobLife.TestCase
TestJobLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
