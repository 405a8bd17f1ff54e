"""`python -m notifier` on real servers: an event on the bus becomes one verified webhook, and SIGTERM ends it well."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from pipeline.adapters import mongo, nats_bus
from pipeline.clock import now as present
from pipeline.endpoints import Endpoint, Secret
from pipeline.errors import PipelineError
from pipeline.events import Event, Message, terminal_message
from pipeline.identity import new_endpoint_id, new_job_id, new_ping_id
from pipeline.job import Job, Source, Status, fail
from pipeline.ports.deliveries import Delivery, delivery_id
from pipeline.sealing import Seal
from tests.receiver import receiving
from tests.servers import Servers

PUBLIC = "http://enlarger.example"


def failed(webhook: str | None) -> Job:
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


OWN = "whsec_" + "A" * 32


def seal_of(servers: Servers) -> Seal:
    return Seal.of(servers.secrets.passwords["webhooks"])


async def registered(servers: Servers, endpoint: Endpoint, ping: Delivery) -> None:
    """As the API does it."""
    url = servers.of("api").mongo
    client = mongo.connect(url)
    try:
        documents = mongo.documents(mongo.database(client, url), seal_of(servers))
        await documents.endpoints.insert(endpoint)
        await documents.deliveries.create(ping)
    finally:
        await client.close()


async def end_of(servers: Servers, endpoint: Endpoint, delivery: str) -> tuple[Endpoint | None, Delivery | None]:
    url = servers.of("api").mongo
    client = mongo.connect(url)
    try:
        documents = mongo.documents(mongo.database(client, url), seal_of(servers))
        found = await documents.endpoints.get(endpoint.id), await documents.deliveries.get(endpoint.id, delivery)
        await documents.endpoints.delete(endpoint.owner, endpoint.id)
        return found
    finally:
        await client.close()


async def secret_of(servers: Servers) -> str:
    url = servers.of("notifier").mongo
    client = mongo.connect(url)
    try:
        secret = await mongo.documents(mongo.database(client, url), seal_of(servers)).accounts.webhook_secret("default")
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


@pytest.mark.anyio
async def test_endpoint_hears_of_a_ping_and_of_its_owners_job_and_is_disabled_when_it_is_gone(servers: Servers) -> None:
    settings = {"ENLARGER_PUBLIC_URL": PUBLIC, "ENLARGER_EGRESS_ALLOW": "127.0.0.0/8"}
    bus = await nats_bus.connect(servers.of("processors").nats, name="test")
    moment, id_, ping = present(), new_endpoint_id(), new_ping_id()
    try:
        with receiving([(204, {}), (410, {})]) as receiver, servers.service("notifier", settings) as service:
            endpoint = Endpoint(id_, "default", receiver.url, ("job.failed",), (Secret(OWN, moment),), moment)
            test = Delivery(
                delivery_id(ping, id_, moment),
                ping,
                "",
                "default",
                id_,
                b"{}",
                moment,
                created_at=moment,
                trigger="ping",
            )
            await registered(servers, endpoint, test)
            first = await receiver.next()
            message = terminal_message(failed(None))
            await bus.publish(message)
            second = await receiver.next()
            assert service.stop() == 0
            assert receiver.count == 2
    finally:
        await bus.close()
    made = delivery_id(message.id, id_, Event.model_validate_json(message.body).timestamp)
    after, delivery = await end_of(servers, endpoint, made)
    for got, event in ((first, ping), (second, message.id)):
        Webhook(OWN).verify(got.body, got.headers)
        assert got.headers["webhook-id"] == event
    assert after is not None
    assert (after.status, after.status_reason) == ("disabled", "gone")
    assert delivery is not None
    assert (delivery.status, [attempt.status_code for attempt in delivery.attempts]) == ("failed", [410])
