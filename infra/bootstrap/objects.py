"""The object store: buckets, the two notification targets, and one account per service with its own policy."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from minio import Minio, MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import S3Error
from minio.notificationconfig import NotificationConfig, QueueConfig

from infra.bootstrap.policies import POLICIES
from infra.errors import SetupError
from infra.secrets import Secrets
from pipeline.topology import OUTPUTS_BUCKET, REGION, UPLOADS_BUCKET

#: One by one: `s3:ObjectCreated:*` fires for tags and legal holds too.
EVENTS: Final = (
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectCreated:Copy",
    "s3:ObjectRemoved:Delete",
)
TARGETS: Final = {name: f"arn:minio:sqs:{REGION}:{name}:nats" for name in ("FAST", "DURABLE")}
#: The access key of the person who owns the installation.
OWNER_ACCESS_KEY: Final = "enlarger"
CALL_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Store:
    """The two ways to talk to MinIO: objects, and accounts."""

    client: Minio
    admin: MinioAdmin


def connect(url: str) -> Store:
    """Clients for a URL with credentials; no call waits longer than `CALL_SECONDS`."""
    parts = urlsplit(url)
    if not parts.username or not parts.password:
        raise SetupError("ENLARGER_MINIO_URL has no credentials: write http://ACCESS_KEY:SECRET_KEY@host:port")
    endpoint, secure = parts.netloc.rpartition("@")[2], parts.scheme == "https"
    pool = _pool()
    provider = StaticProvider(parts.username, parts.password)
    return Store(
        Minio(endpoint, credentials=provider, secure=secure, region=REGION, http_client=pool),
        MinioAdmin(endpoint=endpoint, credentials=provider, secure=secure, region=REGION, http_client=pool),
    )


def owner_client(owner: Mapping[str, str]) -> Minio:
    """The object store as the owner sees it, from the variables that `aws` reads too."""
    parts = urlsplit(owner["AWS_ENDPOINT_URL"])
    provider = StaticProvider(owner["AWS_ACCESS_KEY_ID"], owner["AWS_SECRET_ACCESS_KEY"])
    return Minio(parts.netloc, credentials=provider, secure=parts.scheme == "https", region=REGION, http_client=_pool())


def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(timeout=urllib3.Timeout(CALL_SECONDS), retries=urllib3.Retry(3, backoff_factor=0.2))


def ensure(store: Store, secrets: Secrets) -> str:
    """Make buckets, targets and accounts; return a line for the log.

    Raises:
        SetupError: The server does not know a notification target; the text holds the variables to set.
    """
    for bucket in (UPLOADS_BUCKET, OUTPUTS_BUCKET):
        if not store.client.bucket_exists(bucket):
            store.client.make_bucket(bucket)
    notify(store.client)
    for account, policy in POLICIES.items():
        access_key = OWNER_ACCESS_KEY if account == "owner" else account
        _account(store.admin, access_key, secrets.passwords[account], policy)
    return f"objects: 2 buckets, targets {' and '.join(TARGETS)}, {len(POLICIES)} accounts"


def notify(client: Minio) -> None:
    """Announce every upload to both targets; what the bucket was told before is replaced."""
    present = client.get_bucket_notification(UPLOADS_BUCKET)
    if _rules(present) == {(arn, frozenset(EVENTS)) for arn in TARGETS.values()}:
        return
    wanted = [QueueConfig(list(EVENTS), config_id=name, queue=arn) for name, arn in TARGETS.items()]
    try:
        client.set_bucket_notification(UPLOADS_BUCKET, NotificationConfig(queue_config_list=wanted))
    except S3Error as error:
        raise SetupError(
            f"MinIO refuses the notification targets {' and '.join(TARGETS)} ({error.message}): start it with"
            " MINIO_NOTIFY_NATS_{ENABLE,ADDRESS,SUBJECT,JETSTREAM,USERNAME,PASSWORD}_FAST and _DURABLE set;"
            " minio_environment in infra/stack.py has the values"
        ) from error


def _rules(config: NotificationConfig) -> set[tuple[str | None, frozenset[str]]]:
    if config.topic_config_list or config.cloud_func_config_list:
        return set()
    return {
        (rule.queue, frozenset(rule.events))
        for rule in config.queue_config_list
        if not (rule.prefix_filter_rule or rule.suffix_filter_rule)
    }


def _account(admin: MinioAdmin, access_key: str, secret_key: str, policy: dict[str, Any]) -> None:
    """One user with exactly one policy of its own name; both are written afresh each time."""
    admin.policy_add(access_key, policy=policy)
    admin.user_add(access_key, secret_key)
    present = json.loads(admin.user_info(access_key)).get("policyName", "")
    if present != access_key:
        admin.policy_set(access_key, user=access_key)
