"""What a worker reports of itself."""

from datetime import UTC, datetime

from processors.engines import Probe
from processors.report import REPORT_EVERY_SECONDS, Report

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_report_says_when_the_next_one_is_due() -> None:
    probe = Probe("openvino", "f32", "m", {"f32": 1.0}, 1.0, None)
    document = Report("w", "w-1", NOW, probe, [{"name": "m"}]).document(NOW)
    assert (document["seen_at"], document["every_seconds"]) == (NOW, REPORT_EVERY_SECONDS)
