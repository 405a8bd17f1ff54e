"""The webhook page says what the code does."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from standardwebhooks import WebhookVerificationError

from enlarger import EnlargerError
from notifier import sender
from notifier.schedule import SCHEDULE_SECONDS
from notifier.sender import SLOTS_PER_HOST
from notifier.settings import Settings
from notifier.signing import signed_headers
from notifier.worker import TOLD
from pipeline import egress
from pipeline.egress import DEADLINE_SECONDS, MAX_RESPONSE_BYTES
from pipeline.endpoints import FAILING, FAILING_SECONDS, GONE
from pipeline.events import EventType

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
JOB = {"id": "job_1", "status": "succeeded", "created_at": "2026-01-01T00:00:00Z", "source": {}}


def said(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


@pytest.mark.parametrize(
    ("place", "name", "refusal"), [(0, "receive", WebhookVerificationError), (1, "receive_with_sdk", EnlargerError)]
)
def test_example_verifies_a_real_message_and_refuses_a_changed_one(
    place: int, name: str, refusal: type[Exception]
) -> None:
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[place], names)  # noqa: S102 - our own page
    body = json.dumps({"type": "job.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": JOB}).encode()
    headers = signed_headers((SECRET,), "evt_1", body, datetime.now(UTC))
    assert names[name](body, headers, SECRET) == "job_1"
    with pytest.raises(refusal):
        names[name](body.replace(b"job_1", b"job_2"), headers, SECRET)


def test_page_names_every_wait_of_the_schedule_in_order() -> None:
    waits = [said(seconds) for seconds in SCHEDULE_SECONDS]
    assert f"{', '.join(waits[:-1])} and {waits[-1]}" in PAGE


def test_page_names_every_event_type_limit_and_setting() -> None:
    assert set(re.findall(r"`(job\.\w+)`", PAGE)) == set(get_args(EventType)) > TOLD
    assert f"at most {SLOTS_PER_HOST} messages at a time" in PAGE
    assert f"within {DEADLINE_SECONDS:g} seconds" in PAGE
    assert f"beyond {MAX_RESPONSE_BYTES // 1024} KiB" in PAGE
    assert "ENLARGER_EGRESS_ALLOW=" in PAGE
    assert "egress_allow" in Settings.model_fields


def test_page_names_why_and_when_an_endpoint_is_disabled() -> None:
    assert all(f": `{reason}`" in PAGE for reason in (GONE, FAILING))
    assert FAILING_SECONDS == 5 * 86_400
    assert "for five days every attempt has failed" in PAGE


#: The rest of the section that tells them.
REASONS = PAGE.rpartition("An attempt that got no answer")[2].partition("\n## ")[0]


def test_page_names_every_reason_why_no_answer_came() -> None:
    text = "".join(Path(str(module.__file__)).read_text() for module in (egress, sender))
    codes = set(re.findall(r'EgressError\(\s*"(\w+)"|error="(\w+)"', text))
    named = {first or second for first, second in codes}
    assert named == set(re.findall(r"`(\w+_\w+)`", REASONS))
