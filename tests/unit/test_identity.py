"""Names that we make: unique, sortable, and readable back from a key."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from pipeline.identity import JOB_ID, event_id, fingerprint, job_of_key, mistyped, new_job_id, new_token, reserved_key

filenames = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)


def test_job_ids_are_unique_and_carry_the_time_of_their_making() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    ids = [new_job_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(JOB_ID.fullmatch(id_) for id_ in ids)
    made = [ULID.from_str(id_.removeprefix("job_")).datetime for id_ in ids]
    assert before <= made[0] <= made[-1] <= datetime.now(UTC)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(1, 10**9))  # noqa: DTZ001
def test_job_ids_sort_by_time(moment: datetime, milliseconds: int) -> None:
    later = moment + timedelta(milliseconds=milliseconds)
    assert f"job_{ULID.from_datetime(moment)}" < f"job_{ULID.from_datetime(later)}"


def test_an_event_has_one_id_however_often_it_is_told() -> None:
    job_id = "job_01K0000000000000000000000A"
    assert event_id(job_id, 2, "job.succeeded") == "evt_01K0000000000000000000000A_2_succeeded"


def test_every_step_of_every_run_has_an_id_of_its_own_without_a_dot() -> None:
    ids = {
        event_id(job_id, run, type_)
        for job_id in ("job_01K0000000000000000000000A", "job_01K0000000000000000000000B")
        for run in (1, 2, 11)
        for type_ in ("job.queued", "job.started", "job.succeeded", "job.failed", "job.canceled")
    }
    assert len(ids) == 2 * 3 * 5
    assert not any("." in id_ for id_ in ids)


@given(filenames)
def test_a_reserved_key_gives_its_job_back(filename: str) -> None:
    job_id = new_job_id()
    assert job_of_key(reserved_key(job_id, filename)) == job_id


@pytest.mark.parametrize(
    "key",
    [
        "jobs/job_01K0000000000000000000000A",
        "jobs/job_01K0000000000000000000000A/",
        "jobs/job_01K0000000000000000000000A/deep/a.png",
        "jobs/job_01k0000000000000000000000a/a.png",
        "jobs/job_01K000000000000000000000/a.png",
        "/jobs/job_01K0000000000000000000000A/a.png",
        "my/jobs/job_01K0000000000000000000000A/a.png",
        "jobs/a.png",
        "",
    ],
)
def test_every_other_key_belongs_to_no_announced_job(key: str) -> None:
    assert job_of_key(key) is None


def test_a_token_is_recognisable_and_stored_as_its_sha_256() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("enl_") and len(token) == 40 for token in tokens)
    assert not any(map(mistyped, tokens))
    assert fingerprint("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.integers(4, 39), st.sampled_from("09AZaz"))
def test_a_token_with_one_wrong_character_is_known_to_be_mistyped(place: int, wrong: str) -> None:
    token = new_token()
    changed = token[:place] + wrong + token[place + 1 :]
    assert mistyped(changed) == (changed != token)


@pytest.mark.parametrize("token", ["enl_alice", f"enl_{'0' * 40}", "", "a.b.c"])
def test_what_does_not_look_like_a_token_is_not_called_mistyped(token: str) -> None:
    assert not mistyped(token)
