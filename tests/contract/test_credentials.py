"""The port `CredentialStore`, in memory and on MinIO, and what a credential of one home cannot do there."""

import io
from collections.abc import Callable, Iterator

import pytest
import urllib3
from minio import Minio, MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, S3Error

from pipeline.adapters.memory_credentials import MemoryCredentials
from pipeline.adapters.minio_credentials import PARENT, MinioCredentials
from pipeline.errors import PipelineError
from pipeline.ports.credentials import Credential, CredentialStore, NewCredential
from pipeline.topology import REGION
from tests.contract.stores import ADAPTERS
from tests.servers import Servers

pytestmark = pytest.mark.anyio


def on_minio(servers: Servers, password: str | None = None) -> MinioCredentials:
    origin = servers.root.minio_endpoint()
    return MinioCredentials(origin, password or servers.secrets.passwords[PARENT], public_origin="https://s3.example")


@pytest.fixture(params=ADAPTERS)
def credentials(request: pytest.FixtureRequest) -> CredentialStore:
    return MemoryCredentials() if request.param == "memory" else on_minio(request.getfixturevalue("servers"))


async def test_each_credential_is_new_and_listed_without_its_secret_until_it_is_revoked(
    credentials: CredentialStore,
) -> None:
    first, second = [await credentials.create(user) for user in ("carol", "carol")]
    other = await credentials.create("Bob.2_x-y")
    assert len({first.access_key, second.access_key, first.secret_key, second.secret_key}) == 4
    assert first.secret_key not in repr(first)
    listed = await credentials.list()
    assert listed == sorted(listed, key=lambda one: (one.user, one.access_key))
    assert {Credential(one.access_key, one.user) for one in (first, second, other)} <= set(listed)
    assert await credentials.revoke(first.access_key)
    assert not await credentials.revoke(first.access_key)
    assert not await credentials.revoke("ENL0000000000000000")
    assert first.access_key not in {one.access_key for one in await credentials.list()}


async def test_a_store_that_is_away_or_does_not_know_us_is_an_outage(servers: Servers) -> None:
    away = MinioCredentials("http://127.0.0.1:9", "x", public_origin="http://127.0.0.1:9")
    for store in (away, on_minio(servers, "wrong")):
        with pytest.raises(PipelineError) as refused:
            await store.create("alice")
        assert (refused.value.code, refused.value.retryable) == ("storage_unavailable", True)


class Person:
    """What a holder of a credential has in hand."""

    def __init__(self, servers: Servers, access_key: str, secret_key: str) -> None:
        endpoint = servers.root.minio_endpoint().removeprefix("http://")
        provider = StaticProvider(access_key, secret_key)
        pool = urllib3.PoolManager(timeout=10, retries=False)
        self.client = Minio(endpoint, credentials=provider, secure=False, region=REGION, http_client=pool)
        self.admin = MinioAdmin(endpoint=endpoint, credentials=provider, secure=False, region=REGION, http_client=pool)

    def put(self, bucket: str, key: str) -> None:
        self.client.put_object(bucket, key, io.BytesIO(b"x"), 1)


@pytest.fixture(scope="module")
def root(servers: Servers) -> Iterator[Person]:
    person = Person(servers, "bootstrap", servers.secrets.passwords["bootstrap"])
    kept = [("uploads", "~bob/.a"), ("uploads", ".plain"), ("outputs", "~bob/.a"), ("outputs", "~alice/.a")]
    for bucket, key in kept:
        person.put(bucket, key)
    yield person
    for bucket, key in kept:
        person.client.remove_object(bucket, key)


@pytest.fixture
async def made(servers: Servers, anyio_backend: str) -> NewCredential:
    return await on_minio(servers).create("alice")


@pytest.fixture
def alice(servers: Servers, root: Person, made: NewCredential) -> Person:
    return Person(servers, made.access_key, made.secret_key)


def test_a_credential_reads_writes_lists_and_deletes_in_its_home(alice: Person, made: NewCredential) -> None:
    assert made.endpoint == "https://s3.example"
    alice.put("uploads", "~alice/.trip/a")
    assert alice.client.get_object("uploads", "~alice/.trip/a").data == b"x"
    assert [one.object_name for one in alice.client.list_objects("uploads", "~alice/", recursive=True)] == [
        "~alice/.trip/a"
    ]
    alice.client.remove_object("uploads", "~alice/.trip/a")
    assert [one.object_name for one in alice.client.list_objects("outputs", "~alice/")] == ["~alice/.a"]
    assert alice.client.get_object("outputs", "~alice/.a").data == b"x"


REFUSED: dict[str, Callable[[Person], object]] = {
    "another home is written": lambda one: one.put("uploads", "~bob/.b"),
    "another home is read": lambda one: one.client.get_object("uploads", "~bob/.a"),
    "another home is deleted": lambda one: one.client.remove_object("uploads", "~bob/.a"),
    "another home is listed": lambda one: list(one.client.list_objects("uploads", "~bob/")),
    "another home's outputs are read": lambda one: one.client.get_object("outputs", "~bob/.a"),
    "another home's outputs are listed": lambda one: list(one.client.list_objects("outputs", "~bob/")),
    "a home whose name begins with hers is written": lambda one: one.put("uploads", "~alice2/.b"),
    "a home whose name begins with hers is listed": lambda one: list(one.client.list_objects("uploads", "~alice2/")),
    "a key without a home is written": lambda one: one.put("uploads", ".b"),
    "a key without a home is read": lambda one: one.client.get_object("uploads", ".plain"),
    "a reserved key is written": lambda one: one.put("uploads", "jobs/.b"),
    "outputs are written": lambda one: one.put("outputs", "~alice/.b"),
    "all of a bucket is listed": lambda one: list(one.client.list_objects("uploads")),
    "all homes are listed": lambda one: list(one.client.list_objects("uploads", "~")),
    "a bucket is made": lambda one: one.client.make_bucket("mine"),
    "a bucket is removed": lambda one: one.client.remove_bucket("uploads"),
    "notifications are changed": lambda one: one.client.delete_bucket_notification("uploads"),
    "a bucket's policy is changed": lambda one: one.client.set_bucket_policy("uploads", "{}"),
    "users are listed": lambda one: one.admin.user_list(),
    "a user is made": lambda one: one.admin.user_add("mallory", "long enough"),
    "policies are listed": lambda one: one.admin.policy_list(),
    "an account is made": lambda one: one.admin.add_service_account(access_key="MALLORY1", secret_key="long enough"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_nothing_else_is_possible(alice: Person, root: Person, what: str) -> None:
    with pytest.raises((S3Error, MinioAdminException)) as refused:
        REFUSED[what](alice)
    assert "AccessDenied" in str(refused.value), refused.value


async def test_an_account_that_its_parent_makes_reaches_no_more_than_homes(servers: Servers, root: Person) -> None:
    """Whoever gets hold of the API's password of `tenants` gets homes, and neither other keys nor users."""
    parent = Person(servers, PARENT, servers.secrets.passwords[PARENT])
    wide = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:*", "admin:*"], "Resource": ["*"]}],
    }
    for attempt in (
        lambda: parent.put("uploads", ".b"),
        lambda: parent.client.get_object("uploads", ".plain"),
        lambda: parent.put("outputs", "~bob/.b"),
        lambda: parent.admin.user_add("mallory", "long enough"),
        lambda: parent.admin.policy_add("mallory", policy=wide),
        lambda: parent.admin.list_service_account("bootstrap"),
    ):
        with pytest.raises((S3Error, MinioAdminException), match="AccessDenied"):
            attempt()


def test_a_credential_stops_to_work_when_it_is_revoked(servers: Servers, alice: Person, made: NewCredential) -> None:
    assert servers.call(on_minio(servers).revoke, made.access_key)
    with pytest.raises(S3Error, match="InvalidAccessKeyId"):
        alice.put("uploads", "~alice/.b")
