"""`enlarger doctor`: what passes, what fails, and what to do then."""

import re
from typing import Any

import pytest

from tests.unit.command.conftest import Invoke
from tests.unit.fake_service import FakeService

WORKER = {"name": "w1", "engine": "openvino", "precision": "f32", "probe": {"f32": 0.5}, "models": ["lanczos"]}


def test_a_sound_service_passes_the_doctor(enlarger: Invoke, service: FakeService) -> None:
    check = {"name": "minio", "status": "pass", "detail": "2 buckets", "seconds": 0.01}
    service.doctor = {"checks": [check], "workers": [WORKER | {"seen_at": "2026-01-01T00:00:00Z"}]}
    result = enlarger("doctor")
    assert result.exit_code == 0
    assert "2 buckets" in result.stdout
    assert result.stdout.splitlines()[-1].split() == [
        "w1",
        "openvino",
        "f32",
        "lanczos",
        "2026-01-01",
        "00:00:00Z",
        "f32",
        "0.5",
    ]


@pytest.mark.parametrize(("state", "said"), [({}, "12 s ago"), ({"late": True}, "no heartbeat for 12 s")])
def test_the_doctor_tells_the_age_of_a_heartbeat(
    enlarger: Invoke, service: FakeService, state: dict[str, Any], said: str
) -> None:
    service.doctor = {"checks": [], "workers": [WORKER | {"heartbeat_seconds": 12.2} | state]}
    assert re.search(rf"w1 .*lanczos +{said} ", enlarger("doctor").stdout)


def test_the_doctor_tells_unusable_models_apart_and_what_mends_them(enlarger: Invoke, service: FakeService) -> None:
    unusable = [
        {"name": "a", "available": False, "reason": "it is broken", "remedy": "mend a.pth"},
        {"name": "b", "available": False},
    ]
    service.doctor = {"checks": [], "workers": [WORKER | {"models": ["a", "b", "lanczos"], "unusable": unusable}]}
    lines = [re.split("  +", line.strip()) for line in enlarger("doctor").stdout.splitlines()]
    assert next(line for line in lines if line[0] == "w1")[3] == "lanczos"
    assert lines[-2:] == [
        ["a", "w1", "it is broken", "mend a.pth"],
        ["b", "w1", "its weights are not here", "python -m processors models pull b"],
    ]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("minio", "ENLARGER_MINIO_URL"),
        ("nats", "ENLARGER_NATS_URL"),
        ("mongo", "ENLARGER_MONGO_URL"),
        ("uploads.fast", "infra bootstrap"),
        ("uploads.durable", "infra bootstrap"),
        ("workers", "python -m processors"),
        ("moon", "python -m api"),
    ],
)
def test_a_failed_check_exits_1_and_says_what_to_do(
    enlarger: Invoke, service: FakeService, name: str, advice: str
) -> None:
    service.doctor = {"checks": [{"name": name, "status": "fail", "detail": "no answer"}], "workers": [WORKER]}
    result = enlarger("doctor")
    assert result.exit_code == 1
    assert advice in result.stdout
    assert enlarger("doctor", "--json").exit_code == 1


def test_what_rests_on_a_server_that_is_away_waits_for_it(enlarger: Invoke, service: FakeService) -> None:
    failed = [
        {"name": name, "status": "fail", "detail": "silent for 2 s"} for name in ("nats", "uploads.fast", "lanes")
    ]
    service.doctor = {"checks": [*failed, {"name": "minio", "status": "pass"}], "workers": [WORKER]}
    said = enlarger("doctor").stdout
    assert said.count("First mend nats: this rests on it.") == 2
    assert said.count("ENLARGER_NATS_URL") == 1


def test_what_a_worker_probed_is_short(enlarger: Invoke, service: FakeService) -> None:
    probe = {"engine": "openvino", "candidates": {"f32": 0.123456789, "bf16": 0.0101010101}}
    service.doctor = {"checks": [], "workers": [WORKER | {"probe": probe}]}
    assert "candidates f32 0.123, bf16 0.0101" in enlarger("doctor").stdout
