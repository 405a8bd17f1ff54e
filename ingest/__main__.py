"""The ingest process: reads its settings, builds its clients, and consumes until told to stop."""

import asyncio

from ingest.intake import Intake, Limits
from ingest.retention import RETENTION_EVERY_SECONDS, Retention
from ingest.settings import Settings
from ingest.sweep import Sweep
from pipeline.adapters import mongo, nats_bus
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.adapters.mongo_retention import MongoRetention
from pipeline.adapters.mongo_sweep import MongoSweep
from pipeline.clock import now
from pipeline.consumer import consume, settling
from pipeline.identity import new_job_id
from pipeline.lease import Lease
from pipeline.lifecycle import repeat, serve
from pipeline.logs import configure
from pipeline.outbox import Relay
from pipeline.retention import RETENTION_SUBJECT
from pipeline.sweeping import SWEEP_SUBJECT
from pipeline.topology import INGEST

#: Ingest waits for servers nearly all the time, so a few lanes keep one processor core busy.
LANES = 8
GRACE_SECONDS = 10.0


async def run(settings: Settings) -> None:
    """Serve until SIGTERM."""
    url, lease = settings.mongo_url.get_secret_value(), Lease(settings.lease_seconds)
    bus = await nats_bus.connect(settings.nats_url.get_secret_value(), name="ingest")
    objects = MinioObjects(Endpoint.parse(settings.minio_url.get_secret_value()))
    client = mongo.connect(url)
    try:
        db = mongo.database(client, url)
        documents = mongo.documents(db)
        relay = Relay(documents.jobs, bus)
        limits = Limits(settings.max_upload_bytes, settings.max_pixels)
        quotas = settings.allowance
        intake = Intake(documents, objects, relay, clock=now, limits=limits, new_id=new_job_id, quotas=quotas)
        sweep = Sweep(intake, documents, MongoSweep(db), objects, bus, relay, now, lease)
        await bus.answer(SWEEP_SUBJECT, sweep.answer)
        retention = Retention(documents, MongoRetention(db), objects, now, settings.retention_days)
        await bus.answer(RETENTION_SUBJECT, retention.answer)
        pulls = [await bus.pull(INGEST.name) for _ in range(LANES)]
        await serve(
            bus,
            lambda stop: consume(
                pulls, settling(intake.handle, bus, lease=lease), stop=stop, grace_seconds=GRACE_SECONDS
            ),
            lambda stop: repeat(sweep.uploads, every_seconds=lease.sweep_every_seconds, stop=stop),
            lambda stop: repeat(sweep.repair, every_seconds=lease.repair_every_seconds, stop=stop),
            lambda stop: repeat(retention.run, every_seconds=RETENTION_EVERY_SECONDS, stop=stop),
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
