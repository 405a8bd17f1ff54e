"""When a failed delivery is tried again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.schedule import SCHEDULE_SECONDS, next_delay, rest_seconds, retry_after_seconds
from pipeline.ports.deliveries import Attempt

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
FAILED = Attempt(NOW, 0.1, 500)
LAST = len(SCHEDULE_SECONDS)
randoms = st.floats(0, 1, exclude_max=True)


def asking(seconds: float) -> Attempt:
    return Attempt(NOW, 0.1, 503, retry_after_seconds=seconds)


def test_schedule_is_the_one_that_standard_webhooks_recommends() -> None:
    hours = [seconds / 3600 for seconds in SCHEDULE_SECONDS[4:]]
    assert SCHEDULE_SECONDS[:4] == (0, 5, 300, 1800)
    assert hours == [2, 5, 10, 14, 20, 24]


@given(number=st.integers(1, LAST - 1), drawn=randoms)
def test_wait_stays_within_a_fifth_of_the_plan(number: int, drawn: float) -> None:
    delay = next_delay(number, FAILED, lambda: drawn)
    assert delay is not None
    assert 0.8 * SCHEDULE_SECONDS[number] <= delay <= 1.2 * SCHEDULE_SECONDS[number]


def test_jitter_spreads_over_the_whole_fifth() -> None:
    assert next_delay(1, FAILED, lambda: 0.0) == pytest.approx(4.0)
    assert next_delay(1, FAILED, lambda: 0.5) == pytest.approx(5.0)
    assert next_delay(1, FAILED, lambda: 0.999999) == pytest.approx(6.0, abs=1e-4)


@given(number=st.integers(LAST, 100), drawn=randoms)
def test_tenth_failure_is_the_last(number: int, drawn: float) -> None:
    assert next_delay(number, FAILED, lambda: drawn) is None


@pytest.mark.parametrize("number", range(1, LAST))
def test_gone_stops_at_once(number: int) -> None:
    assert next_delay(number, Attempt(NOW, 0.1, 410), lambda: 0.5) is None


@given(number=st.integers(1, LAST - 1), drawn=randoms, seconds=st.floats(0, 1e12))
def test_retry_after_only_lengthens_and_never_beyond_a_day(number: int, drawn: float, seconds: float) -> None:
    delay = next_delay(number, asking(seconds), lambda: drawn)
    planned = next_delay(number, FAILED, lambda: drawn)
    assert delay is not None
    assert planned is not None
    assert delay == max(planned, min(seconds, 86_400))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("0", 0.0),
        ("9" * 5000, float("inf")),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        ("Sun, 01 Nov 2026 14:00:30 +0200", 30.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@given(st.text())
def test_no_retry_after_header_breaks_the_sender(value: str) -> None:
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("status_code", "asked", "seconds"),
    [(429, 90.0, 90.0), (503, 9e9, SCHEDULE_SECONDS[-1]), (504, None, 0.0), (500, 90.0, 0.0), (200, 90.0, 0.0)],
)
def test_only_who_is_overloaded_and_names_a_time_is_left_alone(
    status_code: int, asked: float | None, seconds: float
) -> None:
    assert rest_seconds(Attempt(NOW, 0.1, status_code, retry_after_seconds=asked)) == seconds
