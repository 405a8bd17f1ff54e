"""The receiver of webhooks that the docs show, run as it stands, and the example of the module itself."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from enlarger import webhooks
from notifier.signing import signed_headers

PAGE = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OUTPUT = {
    "bucket": "outputs",
    "key": "trip/a.jpg",
    "sha256": "0",
    "bytes": 1,
    "width": 1,
    "height": 1,
    "format": "jpeg",
}
JOB = {"id": "job_1", "status": "succeeded", "outputs": [OUTPUT]}
BODY = json.dumps({"type": "job.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": JOB}).encode()


def headers(event_id: str = "evt_1") -> dict[str, str]:
    return signed_headers((SECRET,), event_id, BODY, datetime.now(UTC))


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("ENLARGER_WEBHOOK_SECRET", SECRET)
    names: dict[str, Any] = {}
    (program,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "Starlette" in block]
    exec(program, names)  # noqa: S102 - our own page
    return TestClient(names["app"])


def test_a_message_is_taken_and_heeded_once_however_often_it_comes(
    receiver: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    for event_id in ("evt_1", "evt_1", "evt_2"):
        assert receiver.post("/hook", content=BODY, headers=headers(event_id)).status_code == 204
    assert capsys.readouterr().out == "trip/a.jpg\n" * 2


@pytest.mark.parametrize("body", [BODY.replace(b"job_1", b"job_2"), b""])
def test_a_message_of_somebody_else_is_refused_and_not_heeded(
    receiver: TestClient, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    assert receiver.post("/hook", content=body, headers=headers()).status_code == 400
    assert receiver.post("/hook", content=BODY).status_code == 400
    assert capsys.readouterr().out == ""


def test_the_example_of_the_module_works_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, program = (webhooks.__doc__ or "").partition("from enlarger.webhooks")
    exec(f"from enlarger.webhooks{program}", {"body": BODY, "headers": headers(), "secret": SECRET})  # noqa: S102 - ours
    assert capsys.readouterr().out == "trip/a.jpg\n"
