"""What an endpoint signs with, and when it is switched off."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.endpoints import (
    FAILING_SECONDS,
    MAX_SECRETS,
    Endpoint,
    Secret,
    host_of,
    judge,
    live_secrets,
    resume,
    rotate,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ONE = Endpoint("whe_1", "alice", "https://a.example/", ("job.failed",), (Secret("s0", NOW),), NOW)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def signing(endpoint: Endpoint, at: datetime) -> list[str]:
    return [secret.value for secret in live_secrets(endpoint.secrets, at)]


def test_old_and_new_secret_sign_together_until_the_old_one_ends() -> None:
    rotated = rotate(ONE, "s1", NOW, keep_seconds=60)
    assert signing(rotated, after(59)) == ["s1", "s0"]
    assert signing(rotated, after(60)) == ["s1"]
    assert rotated.rev == ONE.rev + 1


def test_leaked_secret_ends_at_once() -> None:
    assert signing(rotate(ONE, "s1", NOW, keep_seconds=0), NOW) == ["s1"]


def test_second_rotation_never_lengthens_the_life_of_a_secret() -> None:
    first = rotate(ONE, "s1", NOW, keep_seconds=60)
    second = rotate(first, "s2", after(30), keep_seconds=3600)
    assert signing(second, after(59)) == ["s2", "s1", "s0"]
    assert signing(second, after(60)) == ["s2", "s1"]


def test_secrets_are_bounded_and_the_newest_stay() -> None:
    endpoint = ONE
    for number in range(1, 9):
        endpoint = rotate(endpoint, f"s{number}", after(number), keep_seconds=1000)
    assert signing(endpoint, after(10)) == ["s8", "s7", "s6", "s5"]
    assert len(endpoint.secrets) == MAX_SECRETS


@pytest.mark.parametrize("status_code", [None, 302, 400, 429, 500])
def test_failures_alone_for_five_days_switch_off_with_a_reason(status_code: int | None) -> None:
    failing = judge(ONE, status_code, NOW)
    assert (failing.status, failing.failing_since) == ("active", NOW)
    nearly = judge(failing, status_code, after(FAILING_SECONDS - 1))
    assert nearly is failing
    off = judge(nearly, status_code, after(FAILING_SECONDS))
    assert (off.status, off.status_reason, off.failing_since) == ("disabled", "failing", NOW)


def test_one_success_clears_the_record() -> None:
    well = judge(judge(ONE, 500, NOW), 204, after(1))
    assert (well.status, well.failing_since) == ("active", None)
    assert judge(well, 500, after(FAILING_SECONDS)).status == "active"


def test_gone_switches_off_at_once_also_what_is_paused() -> None:
    for endpoint in (ONE, replace(ONE, status="paused")):
        off = judge(endpoint, 410, NOW)
        assert (off.status, off.status_reason, off.failing_since) == ("disabled", "gone", NOW)


@pytest.mark.parametrize("status_code", [None, 410, 500])
def test_what_is_switched_off_keeps_its_reason(status_code: int | None) -> None:
    off = judge(ONE, 410, NOW)
    assert judge(off, status_code, after(2 * FAILING_SECONDS)) is off


def test_success_where_nothing_failed_changes_nothing() -> None:
    assert judge(ONE, 200, NOW) is ONE


def test_resumed_endpoint_starts_with_a_clean_record() -> None:
    resumed = resume(judge(ONE, 410, NOW))
    assert (resumed.status, resumed.status_reason, resumed.failing_since) == ("active", None, None)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.Example/x", "a.example"),
        ("http://a.example.:8443", "a.example"),
        ("http://[::1]/", "::1"),
        ("", ""),
    ],
)
def test_one_host_has_one_name(url: str, host: str) -> None:
    assert host_of(url) == host
