"""What owners ask of a service about their webhooks. How to receive them stands in `enlarger.webhooks`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from enlarger.calls import Calls, call, listing, path
from enlarger.models import Page
from enlarger.reading import read
from enlarger.webhook_models import Delivery, Replayed, Webhook, WebhookList

#: How often a delivery is looked at that somebody waits for.
LOOK_SECONDS = 0.5


class Endpoints(Calls):
    """Webhook endpoints, what was sent to them, and sending it again."""

    @call
    async def webhooks(self) -> tuple[Webhook, ...]:
        """List your endpoints, oldest first."""
        return read(WebhookList, await self._ask("GET", "/v1/webhooks")).items

    @call
    async def webhook(self, webhook_id: str) -> Webhook:
        """Read one endpoint."""
        return read(Webhook, await self._ask("GET", path("webhooks", webhook_id)))

    @call
    async def add_webhook(self, url: str, *, events: Sequence[str] | None = None, description: str = "") -> Webhook:
        """Register an endpoint; keep its `secret`, which is told this once.

        Tried once: a second try would make a second one.

        Args:
            url: Where messages go.
            events: Such as `["job.succeeded", "job.started"]`; None: the ends of jobs.
            description: What you call it.
        """
        body = {"url": url, "description": description} | ({} if events is None else {"events": list(events)})
        return read(Webhook, await self._ask("POST", "/v1/webhooks", once=True, json=body))

    @call
    async def change_webhook(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        status: str | None = None,
    ) -> Webhook:
        """Change what is given; *status* is "paused", or "active", which also ends a disablement."""
        given = {"url": url, "events": events and list(events), "description": description, "status": status}
        body = {name: value for name, value in given.items() if value is not None}
        return read(Webhook, await self._ask("PATCH", path("webhooks", webhook_id), json=body))

    @call
    async def delete_webhook(self, webhook_id: str) -> None:
        """Delete an endpoint; what waits to be sent to it fails."""
        await self._ask("DELETE", path("webhooks", webhook_id))

    @call
    async def rotate_webhook(self, webhook_id: str, *, keep_seconds: int = 86_400) -> Webhook:
        """Make a new `secret`; the one before signs too for *keep_seconds*. Tried once."""
        body = {"keep_seconds": keep_seconds}
        return read(Webhook, await self._ask("POST", path("webhooks", webhook_id, "rotate"), once=True, json=body))

    @call
    async def ping_webhook(self, webhook_id: str, *, timeout_seconds: float = 30.0) -> Delivery:
        """Have a test message sent once, and return it when it has ended, or as it stands after *timeout_seconds*."""
        delivery = read(Delivery, await self._ask("POST", path("webhooks", webhook_id, "ping"), once=True))
        end = self._clock.now() + timeout_seconds
        while delivery.status == "pending" and self._clock.now() < end:
            await self._network.sleep(LOOK_SECONDS)
            delivery = await self.delivery(webhook_id, delivery.id)
        return delivery

    @listing
    def deliveries(self, webhook_id: str, *, status: str | None = None) -> AsyncIterator[Delivery]:
        """Yield what was sent to an endpoint, newest first, page after page as you iterate."""
        wanted = {} if status is None else {"status": status}
        return self._items(Page[Delivery], path("webhooks", webhook_id, "deliveries"), wanted)

    @call
    async def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Read one delivery with its attempts."""
        return read(Delivery, await self._ask("GET", path("webhooks", webhook_id, "deliveries", delivery_id)))

    @call
    async def replay_delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Have one sent again, whatever came of it; its `webhook-id` stays."""
        where = path("webhooks", webhook_id, "deliveries", delivery_id, "replay")
        return read(Delivery, await self._ask("POST", where, once=True))

    @call
    async def replay_deliveries(self, webhook_id: str, since: datetime, until: datetime | None = None) -> int:
        """Have all sent again that failed from *since* and before *until* (None: now); how many that are."""
        span: Mapping[str, Any] = {"since": since.isoformat()} | ({} if until is None else {"until": until.isoformat()})
        answer = await self._ask("POST", path("webhooks", webhook_id, "replay"), once=True, json=span)
        return read(Replayed, answer).replayed
