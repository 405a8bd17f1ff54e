"""What a reader has not been told: bounded by its jobs and in order; and how often a job is spoken of."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from api.live.mailbox import Mailbox, Post, Throttle

PACE = 0.25


def test_an_empty_mailbox_gives_nothing() -> None:
    assert Mailbox().empty
    assert Mailbox().take() == Post()


def test_many_changes_of_one_job_are_told_once_in_the_order_of_the_first() -> None:
    mailbox = Mailbox()
    for name in "abab":
        mailbox.changed(name)
    assert not mailbox.empty
    assert mailbox.take() == Post(changed=("a", "b"))
    assert mailbox.empty


def test_a_change_says_what_progress_would_have_said() -> None:
    mailbox = Mailbox()
    mailbox.progressed("a")
    mailbox.changed("a")
    mailbox.progressed("a")
    mailbox.progressed("b")
    assert mailbox.take() == Post(changed=("a",), progressed=("b",))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_a_mailbox_is_never_larger_than_its_jobs_and_loses_none(news: list[tuple[str, bool]]) -> None:
    mailbox = Mailbox()
    for name, whole in news:
        (mailbox.changed if whole else mailbox.progressed)(name)
    post = mailbox.take()
    assert sorted(post.changed + post.progressed) == sorted({name for name, _ in news})
    assert set(post.changed) == {name for name, whole in news if whole}


def test_the_first_word_may_be_told_at_once_and_the_next_after_the_pace() -> None:
    throttle = Throttle(lambda: PACE)
    assert throttle.offer(10.0) == 0.0
    throttle.told(10.0)
    assert throttle.offer(10.1) == 10.0 + PACE - 10.1
    assert throttle.offer(10.2) is None


@given(st.lists(st.floats(0, 1), max_size=60))
def test_words_keep_their_distance_and_the_last_is_told(gaps: list[float]) -> None:
    throttle, now, due = Throttle(lambda: PACE), 0.0, None
    told: list[float] = []
    for gap in gaps:
        if due is not None and due <= now + gap:
            throttle.told(due)
            told.append(due)
            due = None
        now += gap
        wait = throttle.offer(now)
        due = due if wait is None else now + wait
    assert all(after - before >= PACE - 1e-9 for before, after in pairwise(told))
    assert not gaps or due is not None
    assert due is None or due - now <= PACE + 1e-9
