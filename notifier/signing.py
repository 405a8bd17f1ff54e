"""Signs a webhook as Standard Webhooks 1.0 says: one HMAC over id, timestamp and the exact bytes sent."""

from datetime import UTC, datetime

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from pipeline.sealing import is_sealed


def signed_headers(secrets: tuple[str, ...], id_: str, body: bytes, at: datetime) -> dict[str, str]:
    """The three `webhook-*` headers for *body* sent at *at*, with a signature by each of *secrets*.

    Receivers take a message when one of them fits, so old and new secret change over without a gap.
    Raises ValueError for a secret that cannot sign, and when there is none.
    """
    if not secrets:
        raise ValueError("there is no secret")
    if any(map(is_sealed, secrets)):  # the library would take it for one, and sign with something else
        raise ValueError("a secret cannot be opened")
    try:
        webhooks = [Webhook(secret) for secret in secrets]
    except EmptyWebhookSecretError as error:
        raise ValueError("the secret is empty") from error
    moment = at.astimezone(UTC)  # the library relabels the time zone instead of converting
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(
            webhook.sign(msg_id=id_, timestamp=moment, data=body.decode()) for webhook in webhooks
        ),
    }
