"""The ingest process: reads its settings, builds its clients, and consumes until told to stop."""

import asyncio

from ingest.intake import Intake, Limits
from ingest.settings import Settings
from ingest.sweep import REPAIR_EVERY_SECONDS, SWEEP_EVERY_SECONDS, repair, sweep
from pipeline.adapters import mongo, nats_bus
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.clock import now
from pipeline.consumer import consume, settling
from pipeline.identity import new_job_id
from pipeline.lifecycle import repeat, serve
from pipeline.logs import configure
from pipeline.outbox import Relay
from pipeline.topology import INGEST

#: Ingest waits for servers nearly all the time, so a few lanes keep one processor core busy.
LANES = 8
GRACE_SECONDS = 10.0


async def run(settings: Settings) -> None:
    """Serve until SIGTERM."""
    url = settings.mongo_url.get_secret_value()
    bus = await nats_bus.connect(settings.nats_url.get_secret_value(), name="ingest")
    objects = MinioObjects(Endpoint.parse(settings.minio_url.get_secret_value()))
    client = mongo.connect(url)
    try:
        documents = mongo.documents(mongo.database(client, url))
        relay = Relay(documents.jobs, bus)
        limits = Limits(settings.max_upload_bytes, settings.max_pixels)
        intake = Intake(documents, objects, relay, clock=now, limits=limits, new_id=new_job_id)
        pulls = [await bus.pull(INGEST.name) for _ in range(LANES)]
        await serve(
            bus,
            lambda stop: consume(pulls, settling(intake.handle, bus), stop=stop, grace_seconds=GRACE_SECONDS),
            lambda stop: repeat(
                lambda: sweep(intake, objects, now=now()), every_seconds=SWEEP_EVERY_SECONDS, stop=stop
            ),
            lambda stop: repeat(
                lambda: repair(documents.jobs, relay, now=now()), every_seconds=REPAIR_EVERY_SECONDS, stop=stop
            ),
            relay.run,
        )
        await relay.clear()  # what the last lanes published after the relay had stopped
    finally:
        await bus.close()
        await objects.close()
        await client.close()


def main() -> None:
    """Entry point of `python -m ingest`."""
    configure("ingest")
    asyncio.run(run(Settings()))


if __name__ == "__main__":
    main()
