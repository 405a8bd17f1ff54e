"""`python -m notifier` on real servers: an event on the bus becomes one verified webhook, and SIGTERM ends it well."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from pipeline.adapters import mongo, nats_bus
from pipeline.errors import PipelineError
from pipeline.events import Message, terminal_message
from pipeline.identity import new_job_id
from pipeline.job import Job, Source, Status, fail
from tests.receiver import receiving
from tests.servers import Servers

PUBLIC = "http://enlarger.example"


def failed(webhook: str) -> Job:
    now = datetime.now(UTC)
    source = Source(bucket="uploads", key="a.jpg")
    job = Job(
        id=new_job_id(),
        owner="default",
        status=Status.QUEUED,
        created_at=now,
        updated_at=now,
        source=source,
        webhook=webhook,
    )
    return fail(job, now, PipelineError("It ends early.", code="image_truncated", hint="Send it again."))


async def secret_of(servers: Servers) -> str:
    url = servers.of("notifier").mongo
    client = mongo.connect(url)
    try:
        secret = await mongo.documents(mongo.database(client, url)).accounts.webhook_secret("default")
    finally:
        await client.close()
    assert secret is not None
    return secret


@pytest.mark.anyio
async def test_event_on_the_bus_becomes_one_verified_webhook_and_sigterm_ends_with_zero(servers: Servers) -> None:
    settings = {"ENLARGER_PUBLIC_URL": PUBLIC, "ENLARGER_EGRESS_ALLOW": "127.0.0.0/8"}
    bus = await nats_bus.connect(servers.of("processors").nats, name="test")
    try:
        with receiving() as receiver, servers.service("notifier", settings) as service:
            job = failed(receiver.url)
            message = terminal_message(job)
            await bus.publish(message)
            got = await receiver.next()
            # stored twice on the bus, as after a relay that was killed before it cleared the outbox
            await bus.publish(Message(id=f"{message.id}:again", subject=message.subject, body=message.body))
            other = failed(receiver.url)
            await bus.publish(terminal_message(other))
            last = await receiver.next()
            assert service.stop() == 0
            assert receiver.count == 2
    finally:
        await bus.close()
    event = Webhook(await secret_of(servers)).verify(got.body, got.headers)
    assert (event["type"], event["data"]["id"]) == ("job.failed", job.id)
    assert event["data"]["urls"]["self"] == f"{PUBLIC}/v1/jobs/{job.id}"
    assert (got.headers["webhook-id"], last.headers["webhook-id"]) == (message.id, terminal_message(other).id)
