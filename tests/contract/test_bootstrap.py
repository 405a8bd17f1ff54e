"""Bootstrap on real servers: safe to repeat, corrects drift, refuses what it must not touch, proves the targets."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import nats
import pytest
from minio import Minio
from minio.notificationconfig import NotificationConfig, QueueConfig
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig
from pymongo import MongoClient

from infra.bootstrap import canary, objects, streams
from infra.errors import SetupError
from infra.secrets import Secrets
from pipeline.adapters.mongo_indexes import INDEXES
from pipeline.identity import fingerprint, new_token
from pipeline.lease import LEASE_SECONDS
from pipeline.sealing import Seal
from pipeline.topology import (
    BULK,
    DATABASE,
    DAY_SECONDS,
    DURABLES,
    INGEST,
    JOB_EVENTS,
    STREAMS,
    UPLOADS_BUCKET,
    batch_event_subject,
)
from tests.servers import Servers

pytestmark = pytest.mark.anyio


@pytest.fixture
async def js(servers: Servers) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(servers.root.nats)
    yield client.jetstream()
    await client.close()


@pytest.fixture
def store(servers: Servers) -> Minio:
    return objects.connect(servers.root.minio).client


@pytest.fixture
def db(servers: Servers) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](servers.root.mongo, tz_aware=True) as client:
        yield client[DATABASE]


def test_a_second_bootstrap_changes_nothing(servers: Servers, db: Any) -> None:
    before = list(db.users.find()), list(db.tokens.find())
    said = servers.bootstrap()
    assert said[0] == f"streams: {len(STREAMS)} streams and {len(DURABLES)} durables, changed: none"
    assert (list(db.users.find()), list(db.tokens.find())) == before


async def test_every_stream_and_durable_is_as_the_topology_says(js: JetStreamContext) -> None:
    for spec in STREAMS:
        config = (await js.stream_info(spec.name)).config
        assert (config.subjects, config.retention, config.max_age, config.storage) == (
            list(spec.subjects),
            spec.retention,
            spec.max_age_seconds,
            "file",
        )
    for durable in DURABLES:
        present = (await js.consumer_info(durable.stream, durable.name)).config
        assert (present.filter_subject, present.ack_wait) == (durable.filter_subject, LEASE_SECONDS)
        assert (present.ack_policy, present.max_deliver) == ("explicit", -1)


async def test_a_durable_that_drifted_is_corrected(js: JetStreamContext) -> None:
    present = (await js.consumer_info(BULK.stream, BULK.name)).config
    await js.add_consumer(BULK.stream, replace(present, ack_wait=7.0, max_deliver=3))
    assert "changed: JOBS/bulk" in await streams.ensure(js)
    config = (await js.consumer_info(BULK.stream, BULK.name)).config
    assert (config.ack_wait, config.max_deliver) == (LEASE_SECONDS, -1)


async def test_a_stream_that_drifted_is_corrected_and_keeps_its_messages(js: JetStreamContext) -> None:
    present = (await js.stream_info("DEAD")).config
    await js.publish("dead.UPLOADS", b"kept")
    await js.update_stream(replace(present, max_age=3600.0))
    assert "changed: DEAD" in await streams.ensure(js)
    info = await js.stream_info("DEAD")
    assert (info.config.max_age, info.state.messages) == (present.max_age, 1)
    await js.purge_stream("DEAD")


async def test_a_bus_from_before_there_were_events_of_batches_learns_of_them(js: JetStreamContext) -> None:
    events, durable = (await js.stream_info("EVENTS")).config, await js.consumer_info("EVENTS", "notifier")
    await js.add_consumer("EVENTS", replace(durable.config, filter_subject=JOB_EVENTS))
    await js.update_stream(replace(events, subjects=[JOB_EVENTS]))
    assert "changed: EVENTS, EVENTS/notifier" in await streams.ensure(js)
    await js.publish(batch_event_subject("batch_1"), b"{}")
    subscription = await js.pull_subscribe_bind(consumer="notifier", stream="EVENTS")
    (message,) = await subscription.fetch(1, timeout=5)
    assert message.subject == batch_event_subject("batch_1")
    await message.ack_sync()


async def test_a_durable_that_the_bus_cannot_correct_is_refused(js: JetStreamContext) -> None:
    await js.delete_consumer("EVENTS", "notifier")
    await js.add_consumer("EVENTS", ConsumerConfig(durable_name="notifier", ack_policy=AckPolicy.NONE))
    try:
        with pytest.raises(
            SetupError, match=r"durable notifier of stream EVENTS has ack policy none.*nats consumer rm EVENTS"
        ):
            await streams.ensure(js)
    finally:
        await js.delete_consumer("EVENTS", "notifier")
        await streams.ensure(js)


async def test_a_stream_of_the_wrong_kind_is_refused(js: JetStreamContext) -> None:
    await js.delete_stream("DEAD")
    await js.add_stream(StreamConfig(name="DEAD", subjects=["dead.*"], retention=RetentionPolicy.WORK_QUEUE))
    try:
        with pytest.raises(
            SetupError, match=r"stream DEAD keeps messages by workqueue, wanted limits.*nats stream rm DEAD"
        ):
            await streams.ensure(js)
    finally:
        await js.delete_stream("DEAD")
        await streams.ensure(js)


async def test_the_canary_arrives_on_both_targets_and_leaves_no_object(js: JetStreamContext, store: Minio) -> None:
    assert (await canary.prove(js, store)).startswith("canary: FAST after ")
    assert not list(store.list_objects(UPLOADS_BUCKET, prefix=canary.PREFIX))


@pytest.mark.parametrize(
    ("kept", "silent"), [("FAST", r"DURABLE \(subject uploads.durable\)"), ("DURABLE", r"FAST \(subject")]
)
async def test_the_canary_names_the_target_that_stayed_silent(
    js: JetStreamContext, store: Minio, kept: str, silent: str
) -> None:
    rule = QueueConfig(list(objects.EVENTS), config_id=kept, queue=objects.TARGETS[kept])
    store.set_bucket_notification(UPLOADS_BUCKET, NotificationConfig(queue_config_list=[rule]))
    try:
        with pytest.raises(SetupError, match=f"notification target {silent}"):
            await canary.prove(js, store, wait_seconds=4.0)
    finally:
        objects.notify(store)
    await canary.prove(js, store)


def test_a_target_that_the_server_does_not_know_is_refused(store: Minio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objects.TARGETS, "FAST", "arn:minio:sqs:us-east-1:ELSEWHERE:nats")
    with pytest.raises(SetupError, match="MinIO refuses the notification targets"):
        objects.notify(store)


def test_indexes_are_there(db: Any) -> None:
    for collection, models in INDEXES.items():
        wanted = {model.document["name"] for model in models}
        assert wanted <= set(db[collection].index_information())


def test_a_worker_that_is_silent_for_a_day_is_forgotten(db: Any) -> None:
    ends = [index for index in db["workers"].index_information().values() if "expireAfterSeconds" in index]
    assert [(index["key"], index["expireAfterSeconds"]) for index in ends] == [([("seen_at", 1)], DAY_SECONDS)]


def seal_of(servers: Servers) -> Seal:
    return Seal.of(servers.secrets.passwords["webhooks"])


def test_the_default_owner_has_a_webhook_secret_of_standard_webhooks_length(servers: Servers, db: Any) -> None:
    import base64

    secret = seal_of(servers).open(db.users.find_one({"_id": "default"})["webhook_secret"])
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32


def test_webhook_secrets_of_an_earlier_version_are_sealed_and_those_of_an_older_password_renewed(
    servers: Servers, db: Any
) -> None:
    seal, older = seal_of(servers), Seal(["a password of before that was replaced"])
    db.users.insert_one({"_id": "usr_plain", "webhook_secret": "whsec_plain"})
    hook = {"owner": "alice", "rev": 3, "status": "paused"}
    secrets = [{"value": "whsec_first", "expires_at": None}, {"value": older.seal("whsec_second")}]
    db.webhooks.insert_one({"_id": "whe_old", **hook, "secrets": secrets})
    both = Secrets(
        {
            **servers.secrets.passwords,
            "webhooks": f"{servers.secrets.passwords['webhooks']}, a password of before that was replaced",
        },
        servers.token,
    )
    servers.bootstrap(both)
    stored, written = db.users.find_one({"_id": "usr_plain"}), db.webhooks.find_one({"_id": "whe_old"})
    db.users.delete_one({"_id": "usr_plain"})
    db.webhooks.delete_one({"_id": "whe_old"})
    assert "whsec" not in str((stored, written))
    assert seal.open(stored["webhook_secret"]) == "whsec_plain"
    assert [seal.open(secret["value"]) for secret in written["secrets"]] == ["whsec_first", "whsec_second"]
    assert {name: written[name] for name in hook} == hook
    assert [set(secret) for secret in written["secrets"]] == [{"value", "expires_at"}, {"value"}]


def test_a_new_token_revokes_the_one_before_and_is_stored_as_a_hash(servers: Servers, db: Any) -> None:
    token = new_token()
    db.tokens.insert_one({"_id": "made by a user", "id": "tok_1", "owner": "alice", "name": "bootstrap"})
    servers.bootstrap(Secrets(servers.secrets.passwords, token))
    assert db.tokens.delete_one({"_id": "made by a user"}).deleted_count == 1
    (stored,) = db.tokens.find({"name": "bootstrap"})
    assert (stored["_id"], stored["owner"], stored["role"]) == (fingerprint(token), "default", "admin")
    assert token not in str(stored)
    servers.bootstrap()
    assert db.tokens.find_one({"name": "bootstrap"})["_id"] == fingerprint(servers.token)


async def test_a_restarted_bus_keeps_streams_and_what_is_in_them(servers: Servers) -> None:
    client = await nats.connect(servers.root.nats)
    await client.jetstream().publish("dead.JOBS", b"kept")
    await client.close()
    servers.kill("nats")
    servers.restart("nats")
    client = await nats.connect(servers.root.nats)
    assert (await client.jetstream().get_last_msg("DEAD", "dead.JOBS")).data == b"kept"
    assert (await client.jetstream().consumer_info(INGEST.stream, INGEST.name)).config.durable_name == INGEST.name
    await client.jetstream().purge_stream("DEAD")
    await client.close()
