"""Signatures that every Standard Webhooks library accepts."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from notifier.signing import signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_signature_is_the_published_example() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signed_headers((SECRET,), "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', at)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_time_zone_of_the_clock_changes_nothing() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    assert signed_headers((SECRET,), "a", b"{}", at) == signed_headers(
        (SECRET,), "a", b"{}", at.astimezone(timezone(timedelta(hours=5)))
    )


@given(body=st.text(), id_=st.from_regex(r"[A-Za-z0-9_]{1,40}", fullmatch=True), micros=st.integers(0, 999_999))
def test_any_body_verifies(body: str, id_: str, micros: int) -> None:
    headers = signed_headers((SECRET,), id_, body.encode(), datetime.now(UTC).replace(microsecond=micros))
    Webhook(SECRET).verify(body.encode(), headers, json_parse=False)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_x"])
def test_secret_that_cannot_sign_is_an_error(secret: str) -> None:
    with pytest.raises(ValueError, match=r"secret|base64|number of data"):
        signed_headers((secret,) if secret else (), "a", b"{}", datetime.now(UTC))


def test_message_signed_with_two_secrets_verifies_with_each_and_no_third() -> None:
    other, third = "whsec_" + "B" * 32, "whsec_" + "C" * 32
    headers = signed_headers((SECRET, other), "a", b"{}", datetime.now(UTC))
    for secret in (SECRET, other):
        Webhook(secret).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(third).verify(b"{}", headers)
