"""For receivers of webhooks: was this message sent by the service, and what does it say?

Needs `pip install enlarger[webhooks]`.

from enlarger.webhooks import verify

event = verify(body, headers, secret)
if event.type == "job.succeeded":
    print(event.job.outputs[0].key)
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from enlarger.batch_models import Batch
from enlarger.errors import EnlargerError
from enlarger.models import Answer, Job


class Event(Answer):
    """A verified message. Drop it where you have seen its `id`: it may come more than once."""

    id: str
    type: str
    timestamp: datetime
    data: dict[str, Any] = Field(default_factory=dict)

    @property
    def job(self) -> Job:
        """The job that a `job.…` event tells of; raises `EnlargerError` (`webhook_invalid`) for other events."""
        try:
            return Job.model_validate(self.data)
        except ValidationError as error:
            raise _invalid(f"{self.type} tells of no job") from error

    @property
    def batch(self) -> Batch:
        """The batch that `batch.completed` tells of; raises `EnlargerError` (`webhook_invalid`) for other events."""
        if self.type != "batch.completed":
            raise _invalid(f"{self.type} tells of no batch")
        try:
            return Batch.model_validate(self.data)
        except ValidationError as error:
            raise _invalid("it tells of no batch") from error


def verify(body: bytes, headers: Mapping[str, str], secret: str) -> Event:
    """What a message says, if it was signed with *secret* within the last five minutes (Standard Webhooks 1.0).

    Args:
        body: The bytes as they came, before anything has parsed them.
        headers: Those of the request; case does not matter.
        secret: The endpoint's, or for the `webhook` of a job the owner's: `whsec_…`.

    Raises:
        EnlargerError: `webhook_invalid`; answer 400 and do nothing else with the message.
    """
    try:
        said = Webhook(secret).verify(body, dict(headers))
    except (WebhookVerificationError, EmptyWebhookSecretError, ValueError) as error:  # the library's own, or raw
        raise _invalid(str(error) or type(error).__name__) from error
    sent = {name.lower(): value for name, value in headers.items()}
    try:
        return Event.model_validate({**said, "id": sent["webhook-id"]})
    except (ValidationError, TypeError) as error:
        raise _invalid("it is signed, but no event") from error


def _invalid(why: str) -> EnlargerError:
    hint = "Check the secret, the receiver's clock, and that the body is as it came."
    return EnlargerError(f"The message is not one of the service's: {why}", code="webhook_invalid", hint=hint)
