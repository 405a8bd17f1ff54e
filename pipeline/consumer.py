"""The one consumer loop: fetch, handle, settle. It decides nothing about jobs or images."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from pipeline.errors import RetryLaterError, UnparseableError
from pipeline.events import Message
from pipeline.identity import fingerprint
from pipeline.job import Record
from pipeline.lease import USUAL, Lease
from pipeline.ports.bus import Bus, Delivery, Pull
from pipeline.topology import dead_subject

Handler = Callable[[Delivery], Awaitable[None]]
#: Waits before the next delivery after an unexpected error; the last one repeats for ever.
RETRY_DELAYS_SECONDS: Final = (1.0, 5.0, 15.0, 30.0, 60.0)
IDLE_SECONDS: Final = 1.0
#: So many characters of a body fit into a letter whatever they are: one may take six bytes in JSON, the bus takes 1 MB.
LETTER_CHARACTERS: Final = 150_000

log = structlog.get_logger()


class DeadLetter(Record):
    """What DEAD keeps of a message: enough to read it, mend it and send it again, unless its body had to be cut."""

    id: str
    subject: str
    error: str
    body: str
    cut: bool = False


async def consume(pulls: Sequence[Pull], settle: Handler, *, stop: asyncio.Event, grace_seconds: float) -> None:
    """Settle deliveries, one lane per pull, until *stop*; then let lanes finish for *grace_seconds*.

    A lane that raises ends the process, loudly: the supervisor starts it afresh.
    """

    async def lane(pull: Pull) -> None:
        while not stop.is_set():
            delivery = await pull.next(IDLE_SECONDS)
            if delivery is None:
                continue
            if stop.is_set():  # it came while we were told: whoever is there takes it at once
                await delivery.nak(0.0)
            else:
                await settle(delivery)

    async with asyncio.TaskGroup() as group:
        lanes = [group.create_task(lane(pull)) for pull in pulls]
        stopping = group.create_task(stop.wait())
        await asyncio.wait([*lanes, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            _, late = await asyncio.wait(lanes, timeout=grace_seconds)
            for task in late:
                task.cancel()  # hands its message over


def settling(handle: Handler, bus: Bus, *, lease: Lease = USUAL) -> Handler:
    """Turn what *handle* returns or raises into exactly one settlement.

    Return: ack. `RetryLaterError`: nak with its delay. `UnparseableError`: a copy to DEAD, then term.
    Any other exception, also one while DEAD is written: nak by schedule, without end, for it is us and not the
    message. Cancellation: nak at once, for somebody else to take it.
    """

    async def settle(delivery: Delivery) -> None:
        try:
            async with _heartbeat(delivery, lease.heartbeat_seconds):
                done = await _understood(handle, delivery, bus)
        except RetryLaterError as error:
            await delivery.nak(error.delay_seconds)
        except asyncio.CancelledError:
            await asyncio.shield(delivery.nak(0.0))
            raise
        except Exception:  # the one place that may catch everything
            planned = RETRY_DELAYS_SECONDS[min(delivery.deliveries, len(RETRY_DELAYS_SECONDS)) - 1]
            delay = min(planned, lease.longest_delay_seconds)
            log.exception("message.deferred", subject=delivery.subject, delay_seconds=delay)
            await delivery.nak(delay)
        else:
            await (delivery.ack() if done else delivery.term())

    return settle


async def _understood(handle: Handler, delivery: Delivery, bus: Bus) -> bool:
    try:
        await handle(delivery)
    except UnparseableError as error:
        await bus.publish(_dead_letter(delivery, str(error)))
        log.warning("message.buried", subject=delivery.subject, error=str(error))
        return False
    return True


def _dead_letter(delivery: Delivery, error: str) -> Message:
    body = delivery.body.decode(errors="replace")
    # by its place too: what is sent again and dies again is a new letter, which the bus must not take for a repeat
    id_ = fingerprint(f"{delivery.subject}\n{delivery.sequence}\n{body}")
    kept = body[:LETTER_CHARACTERS]
    # also bytes that are no text: sent again, they would be others
    letter = DeadLetter(id=id_, subject=delivery.subject, error=error, body=kept, cut=kept.encode() != delivery.body)
    return Message(id=id_, subject=dead_subject(delivery.stream), body=letter.model_dump_json())


@asynccontextmanager
async def _heartbeat(delivery: Delivery, every_seconds: float) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            await asyncio.sleep(every_seconds)
            await delivery.extend()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
