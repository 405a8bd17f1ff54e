"""Sends what is due: leases a delivery, has it posted, records the attempt, and knows when the next one is due."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from notifier.addresses import Addresses, Withheld
from notifier.schedule import next_delay, rest_seconds, retry_after_seconds
from notifier.signing import signed_headers
from pipeline.clock import Clock
from pipeline.egress import Egress, EgressError
from pipeline.lease import USUAL
from pipeline.ports.deliveries import Attempt, Delivery, DeliveryStatus, DeliveryStore

#: Makes one attempt. What it raises is our own trouble and no attempt: the lease lapses and the delivery comes back.
Post = Callable[[Delivery], Coroutine[Any, Any, Attempt | Withheld]]

SLOTS: Final = 16
#: One slow host must not hold every slot, under whatever many URLs.
SLOTS_PER_HOST: Final = 4
#: The API makes deliveries due too (pings, replays), and nobody wakes us for those.
IDLE_SECONDS: Final = 2.0
SHORTEST_WAIT_SECONDS: Final = 0.05
DEFERRED_SECONDS: Final = 1.0

log = structlog.get_logger()


def posting(addresses: Addresses, egress: Egress, clock: Clock) -> Post:
    """Sign a delivery as its address wants it and POST it; whatever the receiver does becomes an `Attempt`."""

    async def post(delivery: Delivery) -> Attempt | Withheld:
        address = await addresses.of(delivery)
        if isinstance(address, Withheld):
            return address
        at = clock()
        blank = Attempt(at, 0.0, trigger=delivery.trigger, url=address.url)
        try:
            headers = signed_headers(address.secrets, delivery.event_id, delivery.body, at)
        except ValueError:
            return replace(blank, error="secret_unusable")
        headers["content-type"] = "application/json"
        try:
            reply = await egress.post(address.url, headers=headers, body=delivery.body)
        except EgressError as error:
            log.info("receiver.unreached", delivery=delivery.id, error=error.code, detail=str(error))
            return replace(blank, seconds=(clock() - at).total_seconds(), error=error.code)
        now = clock()
        wait = retry_after_seconds(reply.headers.get("retry-after"), now)
        seconds = (now - at).total_seconds()
        return replace(blank, seconds=seconds, status_code=reply.status_code, retry_after_seconds=wait)

    return post


class Sender:
    """Keeps up to `SLOTS` attempts going. One task does all the store's work, in this order: record, then lease."""

    def __init__(
        self,
        deliveries: DeliveryStore,
        addresses: Addresses,
        post: Post,
        *,
        clock: Clock,
        random: Callable[[], float],
        lease_seconds: float = USUAL.delivery_seconds,
    ) -> None:
        self._deliveries = deliveries
        self._addresses = addresses
        self._post = post
        self._clock = clock
        self._random = random
        self._lease_seconds = lease_seconds
        self._resting: dict[str, datetime] = {}
        self._posting: dict[asyncio.Task[Attempt | Withheld], Delivery] = {}
        #: Set it when there may be something new to send.
        self.wake = asyncio.Event()

    async def run(self, stop: asyncio.Event, *, grace_seconds: float) -> None:
        """Send until *stop*, then finish and record what is under way within *grace_seconds*."""
        work = asyncio.create_task(self._work(stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
            self.wake.set()
            await asyncio.wait([work], timeout=grace_seconds)
            if work.done():
                work.result()
        finally:
            if self._posting:
                log.warning("deliveries.left_leased", count=len(self._posting))
            left = [work, stopping, *self._posting]
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    async def _work(self, stop: asyncio.Event) -> None:
        while True:
            self.wake.clear()
            try:
                wait = await self._turn(stop)
            except Exception:  # a database that is away must not end the process: what was posted waits to be recorded
                log.exception("deliveries.deferred", posting=len(self._posting))
                wait = DEFERRED_SECONDS
            if stop.is_set() and not self._posting:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.wake.wait()

    async def _turn(self, stop: asyncio.Event) -> float:
        """Record what has ended, start what is due; return how many seconds may pass until the next turn.

        Recording comes first, so that nothing whose lease lapsed while the database was away is posted again.
        """
        for task in [task for task in self._posting if task.done()]:
            await self._finish(task)
        while len(self._posting) < SLOTS and not stop.is_set():
            busy = self._busy()
            delivery = await self._deliveries.lease_due(self._clock(), self._lease_seconds, busy=busy)
            if delivery is None:
                due = await self._deliveries.next_due(busy=busy)
                seconds = IDLE_SECONDS if due is None else (due - self._clock()).total_seconds()
                return min(max(seconds, SHORTEST_WAIT_SECONDS), IDLE_SECONDS)
            rested = self._resting.get(delivery.endpoint)
            if rested is not None and rested > self._clock() and delivery.trigger != "ping":
                await self._deliveries.withhold(delivery, "pending", until=rested)
            else:
                self._start(delivery)
        return IDLE_SECONDS

    def _busy(self) -> list[str]:
        counts = Counter(delivery.host for delivery in self._posting.values())
        return [host for host, count in counts.items() if count >= SLOTS_PER_HOST]

    def _start(self, delivery: Delivery) -> None:
        # Frozen for so long that our own lease lapsed, we take it anew and post once.
        held = [task for task, mine in self._posting.items() if mine.id == delivery.id]
        self._posting[held[0] if held else self._spawn(delivery)] = delivery

    def _spawn(self, delivery: Delivery) -> asyncio.Task[Attempt | Withheld]:
        task = asyncio.create_task(self._post(delivery))
        task.add_done_callback(lambda _: self.wake.set())
        return task

    async def _finish(self, task: asyncio.Task[Attempt | Withheld]) -> None:
        delivery = self._posting[task]
        error = task.exception()
        if error is None:
            await self._settle(delivery, task.result())
        else:
            log.error("delivery.interrupted", delivery=delivery.id, exc_info=error)
        del self._posting[task]

    async def _settle(self, delivery: Delivery, outcome: Attempt | Withheld) -> None:
        if isinstance(outcome, Attempt):
            await self._record(delivery, outcome)
            return
        await self._deliveries.withhold(delivery, outcome.status)
        if outcome.status == "held" and await self._addresses.resumed(delivery):
            await self._deliveries.release(delivery.endpoint, self._clock())

    def _let_rest(self, endpoint: str, seconds: float) -> None:
        now = self._clock()
        self._resting = {name: until for name, until in self._resting.items() if until > now}
        if seconds:
            self._resting[endpoint] = now + timedelta(seconds=seconds)

    async def _record(self, delivery: Delivery, attempt: Attempt) -> None:
        self._let_rest(delivery.endpoint, rest_seconds(attempt))
        await self._addresses.judge(delivery, attempt)  # first: where the database is away both are done again
        number = delivery.tried + 1
        once = attempt.delivered or delivery.trigger == "ping"
        delay = None if once else next_delay(number, attempt, self._random)
        status: DeliveryStatus = "delivered" if attempt.delivered else "failed" if delay is None else "pending"
        due = None if delay is None else self._clock() + timedelta(seconds=delay)
        kept = await self._deliveries.record(delivery, attempt, status=status, next_attempt_at=due)
        log.info(
            "delivery.attempted" if kept else "delivery.lease_lost",
            delivery=delivery.id,
            event_id=delivery.event_id,
            number=number,
            status=status,
            status_code=attempt.status_code,
            error=attempt.error,
            next_attempt_at=None if due is None else due.isoformat(),
        )
