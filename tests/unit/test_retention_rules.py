"""When something has had its time, and what of it may go: the rules alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity import new_job_id, reserved_key
from pipeline.job import Status, TransitionError, retire
from pipeline.ports.documents import SourceRecord
from pipeline.retention import (
    Policy,
    answers_for,
    cutoff,
    returning,
    sequencer_at,
    tombstone,
    written_at,
)
from tests.making import NOON, a_job, sequencer

moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
KEY = "trip/a.png"
spans = st.integers(0, 3650)


@given(
    now=moments,
    days=spans,
    age_seconds=spans,
    reserved=st.booleans(),
    status=st.sampled_from(Status),
    owned=st.booleans(),
)
def test_a_job_is_due_when_it_has_ended_and_its_own_rule_says_so(
    now: datetime,
    days: int,
    age_seconds: int,
    *,
    reserved: bool,
    status: Status,
    owned: bool,
) -> None:
    id_ = new_job_id()
    key = reserved_key(id_, "a.png") if reserved else KEY
    job = a_job(status, id=id_, key=key, completed_at=now - timedelta(days=days, seconds=age_seconds - 1000))
    policy = Policy(owners={"default": days}) if owned else Policy(days)
    expected = job.terminal and days > 0 and age_seconds > 1000 and (owned or reserved)
    assert policy.due(job, now) is expected
    assert not policy.due(job.model_copy(update={"removed_at": now}), now)
    assert not policy.due(job.model_copy(update={"completed_at": None}), now)


@pytest.mark.parametrize("policy", [Policy(), Policy(1), Policy(owners={"default": 0}), Policy(owners={"default": 9})])
@pytest.mark.parametrize(("minutes", "due"), [(59, False), (61, True)])
def test_an_ephemeral_job_has_an_hour_whatever_the_rules(policy: Policy, minutes: int, due: bool) -> None:  # noqa: FBT001
    job = a_job(Status.SUCCEEDED, ephemeral=True, completed_at=NOON - timedelta(minutes=minutes))
    assert policy.due(job, NOON) is due
    assert not policy.due(job.model_copy(update={"status": Status.PROCESSING}), NOON)
    assert not Policy().due(job.model_copy(update={"ephemeral": False}), NOON)


@given(moments, spans, spans)
def test_an_owners_own_value_comes_before_the_setting_in_both_directions(now: datetime, days: int, own: int) -> None:
    id_ = new_job_id()
    job = a_job(Status.FAILED, id=id_, key=reserved_key(id_, "a.png"), completed_at=cutoff(now, 2000))
    assert Policy(days, {"default": own}).due(job, now) is (0 < own < 2000)
    assert Policy(days, {"somebody": own}).due(job, now) is (0 < days < 2000)


@given(moments)
def test_a_sequencer_tells_its_moment_and_a_tombstone_is_hardly_later(moment: datetime) -> None:
    record = SourceRecord(KEY, sequencer_at(moment), "e1", new_job_id())
    assert written_at(record) == moment
    stone = tombstone(record)
    assert stone.sequencer > record.sequencer
    assert written_at(stone) == moment
    assert (stone.deleted, stone.retained, stone.etag) == (True, True, "e1")


def test_only_the_same_bytes_or_a_deletion_bring_back_what_was_removed() -> None:
    record = SourceRecord(KEY, sequencer(1), "e1", None)
    assert [returning(tombstone(record), etag) for etag in ("e1", None, "e2")] == [True, True, False]
    assert not returning(record, "e1")
    deleted_by_its_owner = replace(record, deleted=True, etag=None)
    assert not returning(deleted_by_its_owner, None)


def test_a_version_that_was_written_since_is_nobodys_to_remove() -> None:
    job = a_job(Status.SUCCEEDED)
    record = SourceRecord(KEY, sequencer(1), "e1", job.id)
    assert answers_for(record, job, before=written_at(record) + timedelta(seconds=1))
    assert not answers_for(record, job, before=written_at(record))
    assert not answers_for(replace(record, job_id=new_job_id()), job, before=NOON)
    assert not answers_for(None, job, before=NOON)


def test_only_a_run_that_has_ended_loses_its_objects() -> None:
    with pytest.raises(TransitionError):
        retire(a_job(Status.PROCESSING), NOON)
    ended = a_job(Status.FAILED)
    assert (retire(ended, NOON).removed_at, retire(ended, NOON).rev) == (NOON, ended.rev + 1)
