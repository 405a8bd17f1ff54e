"""Where a delivery goes and what signs it, and what its attempts make of an endpoint."""

from dataclasses import dataclass, field
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.endpoints import Endpoint, judge, live_secrets
from pipeline.identity import is_endpoint_id
from pipeline.ports.deliveries import Attempt, Delivery, DeliveryStatus
from pipeline.ports.documents import AccountStore
from pipeline.ports.endpoints import EndpointStore

#: An endpoint changes by its owner and by its attempts; whoever loses so often leaves it to the next attempt.
JUDGE_TRIES: Final = 5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Address:
    """Where to, and the secrets that sign; without any nothing may be sent."""

    url: str
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Withheld:
    """Nothing is sent: the delivery waits for its endpoint (`held`), or has none to go to (`failed`)."""

    status: DeliveryStatus


class Addresses:
    """Registered endpoints, and the URLs that jobs name, which the secret of their owner signs."""

    def __init__(self, accounts: AccountStore, endpoints: EndpointStore, *, clock: Clock) -> None:
        self._accounts = accounts
        self._endpoints = endpoints
        self._clock = clock

    async def of(self, delivery: Delivery) -> Address | Withheld:
        """Where *delivery* goes now. A ping goes to an endpoint that is off too: whoever mends it wants to try it."""
        if not is_endpoint_id(delivery.endpoint):
            secret = await self._accounts.webhook_secret(delivery.owner)
            return Address(delivery.endpoint, (secret,) if secret else ())
        endpoint = await self._endpoints.get(delivery.endpoint)
        if endpoint is None or (endpoint.status == "disabled" and delivery.trigger != "ping"):
            return Withheld("failed")
        if endpoint.status == "paused" and delivery.trigger != "ping":
            return Withheld("held")
        live = live_secrets(endpoint.secrets, self._clock())
        return Address(endpoint.url, tuple(secret.value for secret in live))

    async def resumed(self, delivery: Delivery) -> bool:
        """Whether a delivery that was held must be released after all: its endpoint was resumed in between."""
        endpoint = await self._endpoints.get(delivery.endpoint)
        return endpoint is not None and endpoint.status == "active"

    async def judge(self, delivery: Delivery, attempt: Attempt) -> None:
        """Keep what *attempt* says about its endpoint; again for the same attempt it changes nothing more."""
        if delivery.trigger == "ping" or not is_endpoint_id(delivery.endpoint):
            return
        for _ in range(JUDGE_TRIES):
            endpoint = await self._endpoints.get(delivery.endpoint)
            if endpoint is None or endpoint.url != attempt.url:  # it is about a receiver that is no longer meant
                return
            judged = judge(endpoint, attempt.status_code, attempt.at)
            if judged is endpoint:
                return
            if await self._endpoints.save(judged):
                _tell(endpoint, judged)
                return


def _tell(before: Endpoint, after: Endpoint) -> None:
    if after.status != before.status:
        log.warning("endpoint.disabled", endpoint=after.id, owner=after.owner, reason=after.status_reason)
