"""Streams and durables: created, corrected where the bus can, refused loudly where it cannot."""

from dataclasses import replace
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from infra.errors import SetupError
from pipeline.lease import USUAL, Lease
from pipeline.topology import DURABLES, STREAMS, DurableSpec, StreamSpec

#: Messages with the same id within this time are stored once.
DUPLICATES_SECONDS: Final = 120.0
_RETENTION: Final = {"limits": RetentionPolicy.LIMITS, "workqueue": RetentionPolicy.WORK_QUEUE}


async def ensure(js: JetStreamContext, lease: Lease = USUAL) -> str:
    """Bring every stream and durable of the topology to its wanted configuration; return a line for the log.

    Raises:
        SetupError: One is there with a configuration that only its deletion could change.
    """
    changed = [stream.name for stream in STREAMS if await _stream(js, stream)]
    changed += [f"{durable.stream}/{durable.name}" for durable in DURABLES if await _durable(js, durable, lease)]
    return f"streams: {len(STREAMS)} streams and {len(DURABLES)} durables, changed: {', '.join(changed) or 'none'}"


async def _stream(js: JetStreamContext, spec: StreamSpec) -> bool:
    try:
        present = (await js.stream_info(spec.name)).config
    except NotFoundError:
        await js.add_stream(_wanted(spec, StreamConfig(name=spec.name)))
        return True
    if present.retention != _RETENTION[spec.retention]:
        raise SetupError(
            f"stream {spec.name} keeps messages by {present.retention}, wanted {spec.retention}; the bus cannot change"
            f" that: empty it, delete it with `nats stream rm {spec.name}`, and start again"
        )
    if present == (wanted := _wanted(spec, present)):
        return False
    await js.update_stream(wanted)
    return True


def _wanted(spec: StreamSpec, present: StreamConfig) -> StreamConfig:
    """*present* with every field that we care about as wanted; the number of replicas is the operator's."""
    return replace(
        present,
        subjects=list(spec.subjects),
        retention=_RETENTION[spec.retention],
        max_age=float(spec.max_age_seconds),
        duplicate_window=DUPLICATES_SECONDS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,  # a full stream refuses the newest, which its publisher keeps and sends again
    )


async def _durable(js: JetStreamContext, spec: DurableSpec, lease: Lease) -> bool:
    try:
        present = (await js.consumer_info(spec.stream, spec.name)).config
    except NotFoundError:
        await js.add_consumer(spec.stream, _wanted_durable(spec, ConsumerConfig(durable_name=spec.name), lease))
        return True
    if (present.ack_policy, present.deliver_policy) != (AckPolicy.EXPLICIT, DeliverPolicy.ALL):
        raise SetupError(
            f"durable {spec.name} of stream {spec.stream} has ack policy {present.ack_policy} and deliver policy"
            f" {present.deliver_policy}, wanted explicit and all; the bus cannot change that: delete it with"
            f" `nats consumer rm {spec.stream} {spec.name}` and start again"
        )
    if present == (wanted := _wanted_durable(spec, present, lease)):
        return False
    await js.add_consumer(spec.stream, wanted)
    return True


def _wanted_durable(spec: DurableSpec, present: ConsumerConfig, lease: Lease) -> ConsumerConfig:
    return replace(
        present,
        durable_name=spec.name,
        filter_subject=spec.filter_subject,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=lease.ack_wait_seconds,
        max_deliver=-1,  # attempts are counted at claim: an outage of ours uses up nobody's tries
        inactive_threshold=None,
    )
