"""What a receiver finds out about a message with the SDK."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enlarger.errors import EnlargerError
from enlarger.webhooks import verify
from notifier.signing import signed_headers

SECRET, OTHER = "whsec_" + "A" * 32, "whsec_" + "B" * 32
JOB = {
    "id": "job_1",
    "status": "succeeded",
    "created_at": "2026-01-01T00:00:00Z",
    "source": {"bucket": "uploads", "key": "a.jpg"},
}
BODY = json.dumps({"type": "job.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": JOB, "more": "é"}).encode()


def headers(body: bytes = BODY, *, ago: float = 0.0, secrets: tuple[str, ...] = (SECRET,)) -> dict[str, str]:
    return signed_headers(secrets, "evt_1", body, datetime.now(UTC) - timedelta(seconds=ago))


@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_message_is_verified_with_either_secret_while_they_change(secret: str) -> None:
    sent = {name.upper(): value for name, value in headers(secrets=(SECRET, OTHER)).items()}
    event = verify(BODY, sent, secret)
    assert (event.id, event.type, event.job.id, event.job.status) == ("evt_1", "job.succeeded", "job_1", "succeeded")


def test_event_that_tells_of_no_job_says_so() -> None:
    body = b'{"type": "webhook.test", "timestamp": "2026-01-01T00:00:00Z", "data": {"webhook_id": "whe_1"}}'
    event = verify(body, headers(body), SECRET)
    assert event.data == {"webhook_id": "whe_1"}
    with pytest.raises(EnlargerError, match="no job"):
        _ = event.job


def refused(body: bytes, sent: dict[str, str], secret: str = SECRET) -> str:
    with pytest.raises(EnlargerError) as caught:
        verify(body, sent, secret)
    return caught.value.code


@pytest.mark.parametrize("ago", [310, -310])
def test_message_of_another_time_is_refused(ago: float) -> None:
    verify(BODY, headers(ago=ago / 2), SECRET)
    assert refused(BODY, headers(ago=ago)) == "webhook_invalid"


@pytest.mark.parametrize("secret", [OTHER, "", "whsec_", "whsec_x"])
def test_message_of_another_secret_is_refused(secret: str) -> None:
    assert refused(BODY, headers(), secret) == "webhook_invalid"


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "evt_2"},
        {"webhook-id": ""},
        {"webhook-timestamp": "now"},
        {"webhook-signature": "nothing"},
        {"webhook-signature": "v1,a"},
        {"webhook-signature": "v2,AAAA"},
    ],
)
def test_message_with_changed_headers_is_refused(changed: dict[str, str]) -> None:
    assert refused(BODY, headers() | changed) == "webhook_invalid"


@pytest.mark.parametrize("body", [BODY + b" ", BODY[:-1], b"", b"\xff"])
def test_message_with_a_changed_body_is_refused(body: bytes) -> None:
    assert refused(body, headers()) == "webhook_invalid"


@pytest.mark.parametrize("body", [b"[]", b"{}", b"no json", b'"text"'])
def test_signed_message_that_is_no_event_is_refused(body: bytes) -> None:
    assert refused(body, headers(body)) == "webhook_invalid"


BATCH = {"id": "batch_1", "status": "completed", "total": 2, "counts": {"succeeded": 1, "failed": 1}}


def batch_message(data: dict[str, Any], type_: str = "batch.completed") -> bytes:
    return json.dumps({"type": type_, "timestamp": "2026-01-01T00:00:00Z", "data": data}).encode()


def test_message_of_a_batch_holds_the_batch() -> None:
    body = batch_message(BATCH)
    batch = verify(body, headers(body), SECRET).batch
    assert (batch.id, batch.completed, batch.succeeded) == ("batch_1", True, False)


@pytest.mark.parametrize("body", [batch_message(BATCH, "job.succeeded"), batch_message({}), BODY])
def test_message_that_tells_of_no_batch_is_refused_where_one_is_asked_for(body: bytes) -> None:
    event = verify(body, headers(body), SECRET)
    with pytest.raises(EnlargerError) as caught:
        assert event.batch
    assert caught.value.code == "webhook_invalid"
