"""The order of bootstrap: streams before anything that publishes to them, the canary when all else is there."""

import asyncio
import math
from collections.abc import Callable, Mapping

import nats
from nats.aio.client import Client

from infra.addresses import Addresses
from infra.bootstrap import canary, documents, objects, streams
from infra.errors import SetupError
from infra.secrets import Secrets
from pipeline.lease import LEASE_SECONDS, USUAL, Lease

CONNECT_SECONDS = 10.0


async def bootstrap(
    addresses: Addresses,
    secrets: Secrets,
    say: Callable[[str], None] = lambda _text: None,
    *,
    lease: Lease = USUAL,
) -> None:
    """Bring all three servers to the wanted state and prove that both notification targets deliver.

    Args:
        addresses: The servers as their root account opens them.
        secrets: The password of each account to make, and the API token of the default owner.
        say: Told one line per finished step.
        lease: What the services are told too: after so long the bus gives a message to somebody else.

    Raises:
        SetupError: Something is in the way that must not be overwritten, or a target stayed silent.
    """
    bus = await _connect(addresses.nats)
    try:
        say(await streams.ensure(bus.jetstream(), lease))
        say(await documents.ensure(addresses.mongo, secrets))
        store = objects.connect(addresses.minio)
        say(await asyncio.to_thread(objects.ensure, store, secrets))
        say(await canary.prove(bus.jetstream(), store.client))
    finally:
        await bus.close()


def lease_from(environment: Mapping[str, str]) -> Lease:
    """What `ENLARGER_LEASE_SECONDS` says, which the services read too; SetupError where it is no number from 1."""
    text = environment.get("ENLARGER_LEASE_SECONDS") or str(LEASE_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < math.inf:
        raise SetupError(f"ENLARGER_LEASE_SECONDS={text}: give a number of seconds, 1 or more")
    return Lease(seconds)


async def _connect(url: str) -> Client:
    async def quiet(_error: Exception) -> None:
        """Every call reports its own error."""

    return await nats.connect(
        url, name="bootstrap", connect_timeout=CONNECT_SECONDS, allow_reconnect=False, error_cb=quiet
    )
