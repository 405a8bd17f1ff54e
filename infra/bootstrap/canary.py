"""Proves that uploads are announced: puts one object and waits for its event in the stream, once per target."""

import asyncio
import io
import json
import secrets
from typing import Any, Final

from minio import Minio
from nats.js import JetStreamContext
from nats.js.api import DeliverPolicy

from infra.errors import SetupError
from pipeline.topology import DURABLE, FAST, UPLOADS_BUCKET

PREFIX: Final = ".enlarger-canary/"
#: DURABLE reads its queue folder every three seconds, and once more when it connects.
WAIT_SECONDS: Final = 15.0
SUBJECTS: Final = {"FAST": FAST, "DURABLE": DURABLE}


async def prove(js: JetStreamContext, client: Minio, *, wait_seconds: float = WAIT_SECONDS) -> str:
    """Send one canary; return a line with the delay of each target.

    Raises:
        SetupError: A target stayed silent; the text names it.
    """
    key = f"{PREFIX}{secrets.token_hex(8)}"
    heard = {target: await _listen(js, subject) for target, subject in SUBJECTS.items()}
    started = asyncio.get_running_loop().time()
    await asyncio.to_thread(client.put_object, UPLOADS_BUCKET, key, io.BytesIO(b"canary"), 6)
    try:
        delays = await asyncio.gather(*(_arrival(sub, key, started, wait_seconds) for sub in heard.values()))
    finally:
        await asyncio.to_thread(client.remove_object, UPLOADS_BUCKET, key)
    silent = [target for target, delay in zip(heard, delays, strict=True) if delay is None]
    if silent:
        raise SetupError(_explain(silent, wait_seconds))
    return "canary: " + ", ".join(f"{target} after {delay:.2f} s" for target, delay in zip(heard, delays, strict=True))


async def _listen(js: JetStreamContext, subject: str) -> JetStreamContext.PushSubscription:
    return await js.subscribe(subject, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW)


async def _arrival(
    events: JetStreamContext.PushSubscription, key: str, started: float, wait_seconds: float
) -> float | None:
    """Seconds from *started* until the event of *key*; None when it stayed away."""
    try:
        async with asyncio.timeout(wait_seconds):
            while _key((await events.next_msg(timeout=wait_seconds)).data) != f"{UPLOADS_BUCKET}/{key}":
                pass  # somebody else's upload
    except TimeoutError:
        return None
    finally:
        await events.unsubscribe()
    return asyncio.get_running_loop().time() - started


def _key(body: bytes) -> str | None:
    """The bucket and key of an event, unescaped as MinIO writes them at its top level."""
    try:
        event: Any = json.loads(body)
    except ValueError:
        return None
    return event.get("Key") if isinstance(event, dict) else None


def _explain(silent: list[str], wait_seconds: float) -> str:
    subjects = ", ".join(f"{target} (subject {SUBJECTS[target]})" for target in silent)
    return (
        f"no event of the canary object in {wait_seconds:g} s from notification target {subjects}: uploads would wait"
        " for the sweep. Look at MinIO's log for the target, and at MINIO_NOTIFY_NATS_ADDRESS, USERNAME, PASSWORD and"
        " JETSTREAM=on of it"
    )
