"""The notifier process: reads its settings, builds its clients, then turns events into deliveries and sends them."""

import asyncio
import random
from typing import Final

from notifier.addresses import Addresses
from notifier.sender import Sender, posting
from notifier.settings import Settings
from notifier.worker import announcing
from pipeline.adapters import mongo, nats_bus
from pipeline.clock import now
from pipeline.completions import Completions
from pipeline.consumer import consume, settling
from pipeline.egress import Egress
from pipeline.lease import Lease
from pipeline.lifecycle import serve
from pipeline.logs import configure
from pipeline.sealing import Seal
from pipeline.topology import NOTIFIER

LANES: Final = 2
#: Longer than one attempt may take, shorter than a supervisor's patience.
GRACE_SECONDS: Final = 25.0


async def run(settings: Settings) -> None:
    """Serve until SIGTERM."""
    url, lease = settings.mongo_url.get_secret_value(), Lease(settings.lease_seconds)
    bus = await nats_bus.connect(settings.nats_url.get_secret_value(), name="notifier")
    client = mongo.connect(url)
    egress = Egress(settings.egress_allow)
    try:
        db = mongo.database(client, url)
        documents = mongo.documents(db, Seal.of(settings.password_webhooks.get_secret_value()))
        deliveries = documents.deliveries
        addresses = Addresses(documents.accounts, documents.endpoints, clock=now)
        post = posting(addresses, egress, now)
        sender = Sender(
            deliveries, addresses, post, clock=now, random=random.random, lease_seconds=lease.delivery_seconds
        )
        completions = Completions(documents.batches, bus, clock=now)
        announce = announcing(
            deliveries,
            documents.endpoints,
            completions,
            public_url=settings.public_url,
            clock=now,
            wake=sender.wake.set,
        )
        pulls = [await bus.pull(NOTIFIER.name) for _ in range(LANES)]
        await serve(
            bus,
            lambda stop: consume(pulls, settling(announce, bus, lease=lease), stop=stop, grace_seconds=GRACE_SECONDS),
            lambda stop: sender.run(stop, grace_seconds=GRACE_SECONDS),
        )
    finally:
        await egress.close()
        await bus.close()
        await client.close()


def main() -> None:
    """Entry point of `python -m notifier`."""
    configure("notifier")
    asyncio.run(run(Settings()))


if __name__ == "__main__":
    main()
