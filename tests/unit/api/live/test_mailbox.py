"""What a reader has not been told: bounded by its jobs, in order, and not too often."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from api.live.mailbox import PACE_SECONDS, Mailbox, Post

SOON = PACE_SECONDS / 2


def test_an_empty_mailbox_is_never_due() -> None:
    assert Mailbox().due() == float("inf")
    assert Mailbox().take(0.0) == Post()


def test_many_changes_of_one_job_are_told_once_in_the_order_of_the_first() -> None:
    mailbox = Mailbox()
    for name in "abab":
        mailbox.changed(name)
    assert mailbox.take(0.0) == Post(changed=("a", "b"))
    assert mailbox.take(0.0) == Post()


def test_a_change_is_told_at_once_however_soon_it_comes() -> None:
    mailbox = Mailbox()
    for now in (0.0, 0.001):
        mailbox.changed("a")
        assert mailbox.due() <= now
        assert mailbox.take(now).changed == ("a",)


def test_progress_that_comes_too_soon_is_told_when_its_time_has_come() -> None:
    mailbox = Mailbox()
    mailbox.progressed("a")
    assert mailbox.take(10.0).progressed == ("a",)
    mailbox.progressed("a")
    assert mailbox.take(10.0 + SOON).progressed == ()
    assert mailbox.due() == 10.0 + PACE_SECONDS
    assert mailbox.take(10.0 + PACE_SECONDS).progressed == ("a",)


def test_the_pace_is_that_of_each_job() -> None:
    mailbox = Mailbox()
    mailbox.progressed("a")
    mailbox.take(0.0)
    mailbox.progressed("b")
    assert mailbox.take(SOON).progressed == ("b",)


def test_a_change_says_what_progress_would_have_said() -> None:
    mailbox = Mailbox()
    mailbox.progressed("a")
    mailbox.changed("a")
    mailbox.progressed("a")
    assert mailbox.take(0.0) == Post(changed=("a",))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 0.2)), max_size=60))
def test_nothing_is_lost_and_no_job_progresses_faster_than_the_pace(steps: list[tuple[str, bool, float]]) -> None:
    mailbox, now = Mailbox(), 0.0
    told: dict[str, list[float]] = {name: [] for name in "abc"}
    for name, whole, seconds in steps:
        (mailbox.changed if whole else mailbox.progressed)(name)
        now += seconds
        post = mailbox.take(now)
        assert not whole or name in post.changed
        for one in post.progressed:
            told[one].append(now)
    end = now + PACE_SECONDS
    mailbox.take(end)
    assert mailbox.due() == float("inf")
    assert all(b - a >= PACE_SECONDS - 1e-9 for times in told.values() for a, b in pairwise(times))
