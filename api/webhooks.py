"""What an owner may do with webhook endpoints, and with what was sent to them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from api.paging import paged
from api.webhook_models import DeliveriesQuery, ReplayRequest, WebhookChange, WebhookRequest
from pipeline.clock import Clock
from pipeline.endpoints import Endpoint, Secret, host_of, resume, rotate
from pipeline.errors import PipelineError
from pipeline.identity import new_endpoint_id, new_ping_id
from pipeline.ports.deliveries import PING, Delivery, DeliveryStore, delivery_id
from pipeline.ports.endpoints import EndpointStore

#: Endpoints that one owner may have: every event of theirs is held against each.
MAX_ENDPOINTS: Final = 32
#: An endpoint changes by hand and by its failures, so whoever loses this often meets a fault.
CHANGE_TRIES: Final = 5


class Webhooks:
    """Endpoints and deliveries; another owner's are not there."""

    def __init__(
        self, endpoints: EndpointStore, deliveries: DeliveryStore, *, clock: Clock, new_secret: Callable[[], str]
    ) -> None:
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._clock = clock
        self._new_secret = new_secret

    async def of(self, owner: str) -> list[Endpoint]:
        """All of the owner's, oldest first."""
        return await self._endpoints.of(owner)

    async def find(self, owner: str, id_: str) -> Endpoint:
        """The owner's endpoint; raises `webhook_not_found` for anybody else's too."""
        found = await self._endpoints.get(id_)
        if found is None or found.owner != owner:
            raise _not_found()
        return found

    async def add(self, owner: str, wanted: WebhookRequest) -> Endpoint:
        """Register an endpoint; raises `webhook_limit_reached`."""
        if len(await self.of(owner)) >= MAX_ENDPOINTS:
            hint = "Delete one that is no longer needed."
            raise PipelineError(f"You have {MAX_ENDPOINTS} endpoints.", code="webhook_limit_reached", hint=hint)
        now = self._clock()
        secrets = (Secret(self._new_secret(), now),)
        made = Endpoint(new_endpoint_id(), owner, wanted.url, wanted.events, secrets, now, wanted.description)
        await self._endpoints.insert(made)
        return made

    async def change(self, owner: str, id_: str, wanted: WebhookChange) -> Endpoint:
        """Change an endpoint, and send what it was paused for; raises `webhook_not_found` and `webhook_changed`."""
        changed = await self._save(owner, id_, lambda endpoint: _changed(endpoint, wanted))
        if wanted.url is not None:
            await self._deliveries.rehost(id_, host_of(wanted.url))
        if wanted.status == "active":  # after the endpoint: a sender that has just seen it paused looks once more
            await self._deliveries.release(id_, self._clock())
        return changed

    async def rotate(self, owner: str, id_: str, *, keep_seconds: float) -> Endpoint:
        """Give an endpoint a new secret, the last of its secrets; raises as `change`."""
        value, now = self._new_secret(), self._clock()
        return await self._save(owner, id_, lambda endpoint: rotate(endpoint, value, now, keep_seconds=keep_seconds))

    async def drop(self, owner: str, id_: str) -> None:
        """Delete an endpoint; what waits to be sent to it fails. Raises `webhook_not_found`."""
        if not await self._endpoints.delete(owner, id_):
            raise _not_found()

    async def ping(self, owner: str, id_: str) -> Delivery:
        """Have a test message sent once, also to an endpoint that is off; raises `webhook_not_found`."""
        endpoint, now, event = await self.find(owner, id_), self._clock(), new_ping_id()
        body = {"type": PING, "timestamp": now.isoformat().replace("+00:00", "Z"), "data": {"webhook_id": id_}}
        sent = Delivery(
            id=delivery_id(event, id_, now),
            event_id=event,
            job_id="",
            owner=owner,
            endpoint=id_,
            body=json.dumps(body).encode(),
            next_attempt_at=now,
            type=PING,
            host=host_of(endpoint.url),
            created_at=now,
            trigger="ping",
        )
        await self._deliveries.create(sent)
        return sent

    async def page(self, owner: str, id_: str, query: DeliveriesQuery) -> tuple[Sequence[Delivery], str | None]:
        """One page of an endpoint's deliveries and the cursor of the next; raises `webhook_not_found`."""
        await self.find(owner, id_)
        found = await self._deliveries.page(id_, limit=query.limit + 1, before=query.cursor, status=query.status)
        return paged(found, query.limit)

    async def delivery(self, owner: str, id_: str, delivery: str) -> Delivery:
        """One delivery of an endpoint; raises `webhook_not_found` and `delivery_not_found`."""
        await self.find(owner, id_)
        found = await self._deliveries.get(id_, delivery)
        if found is None:
            hint = "GET /v1/webhooks/{id}/deliveries lists those of the last 30 days."
            raise PipelineError("There is no such delivery.", code="delivery_not_found", hint=hint)
        return found

    async def replay(self, owner: str, id_: str, delivery: str) -> Delivery:
        """Send one again, whatever came of it; raises as `delivery`, `webhook_disabled`, `delivery_in_progress`."""
        _refuse_disabled(await self.find(owner, id_))
        again = await self._deliveries.replay(id_, delivery, self._clock())
        if again is None:
            await self.delivery(owner, id_, delivery)
            hint = "Look at it again in a minute."
            raise PipelineError("It is being sent.", code="delivery_in_progress", hint=hint, retryable=True)
        return again

    async def replay_range(self, owner: str, id_: str, wanted: ReplayRequest) -> int:
        """Send what failed in a range again; raises `webhook_not_found` and `webhook_disabled`."""
        _refuse_disabled(await self.find(owner, id_))
        now = self._clock()
        return await self._deliveries.replay_failed(id_, wanted.since, wanted.until or now, now)

    async def _save(self, owner: str, id_: str, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        for _ in range(CHANGE_TRIES):
            changed = change(await self.find(owner, id_))
            if await self._endpoints.save(changed):
                return changed
        hint = "Read it, and send the change again."
        raise PipelineError("Somebody else changes it.", code="webhook_changed", hint=hint, retryable=True)


def _changed(endpoint: Endpoint, wanted: WebhookChange) -> Endpoint:
    if wanted.status == "active":
        endpoint = resume(endpoint)
    elif wanted.status == "paused":
        endpoint = replace(resume(endpoint), status="paused")
    else:
        endpoint = replace(endpoint, rev=endpoint.rev + 1)
    return replace(endpoint, **wanted.model_dump(include={"url", "events", "description"}, exclude_none=True))


def _refuse_disabled(endpoint: Endpoint) -> None:
    if endpoint.status == "disabled":
        raise PipelineError(
            f"The endpoint is disabled: {endpoint.status_reason}.",
            code="webhook_disabled",
            hint='Mend the receiver, then PATCH the endpoint with {"status": "active"}.',
        )


def _not_found() -> PipelineError:
    return PipelineError("There is no such endpoint.", code="webhook_not_found", hint="GET /v1/webhooks lists yours.")
