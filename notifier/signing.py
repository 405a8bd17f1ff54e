"""Signs a webhook as Standard Webhooks 1.0 says: one HMAC over id, timestamp and the exact bytes sent."""

from datetime import UTC, datetime

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError


def signed_headers(secret: str, id_: str, body: bytes, at: datetime) -> dict[str, str]:
    """The three `webhook-*` headers for *body* sent at *at*; raises ValueError for a secret that cannot sign."""
    try:
        webhook = Webhook(secret)
    except EmptyWebhookSecretError as error:
        raise ValueError("the secret is empty") from error
    moment = at.astimezone(UTC)  # the library relabels the time zone instead of converting
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": webhook.sign(msg_id=id_, timestamp=moment, data=body.decode()),
    }
