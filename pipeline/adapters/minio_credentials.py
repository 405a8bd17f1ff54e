"""`CredentialStore` on MinIO: service accounts under one parent user that is not root and reaches homes alone."""

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException

from pipeline.errors import storage_unavailable
from pipeline.ports.credentials import Credential, NewCredential, home_of
from pipeline.topology import OUTPUTS_BUCKET, REGION, UPLOADS_BUCKET

#: The account that all credentials of homes belong to.
PARENT: Final = "tenants"
CALL_SECONDS: Final = 10.0
_Said = TypeVar("_Said")


def reach(home: str) -> list[dict[str, Any]]:
    """Statements that allow all with uploads, and all but writing with outputs, below *home*."""
    listed = {"StringLike": {"s3:prefix": [f"{home}*"]}}
    uploads = "GetObject GetObjectTagging PutObject DeleteObject AbortMultipartUpload ListMultipartUploadParts"
    return [
        allow(uploads, f"{UPLOADS_BUCKET}/{home}*"),
        allow("GetObject GetObjectTagging DeleteObject", f"{OUTPUTS_BUCKET}/{home}*"),
        allow("ListBucket", UPLOADS_BUCKET, OUTPUTS_BUCKET) | {"Condition": listed},
        allow("GetBucketLocation", UPLOADS_BUCKET, OUTPUTS_BUCKET),
    ]


def home_policy(home: str) -> dict[str, Any]:
    """What one credential may do: to reach *home*, and nothing else.

    Administration is denied in so many words: an account may make others of its kind where nothing denies it.
    """
    return {"Version": "2012-10-17", "Statement": [*reach(home), {"Effect": "Deny", "Action": ["admin:*"]}]}


def allow(actions: str, *resources: str) -> dict[str, Any]:
    """A statement that allows *actions*, in one text without `s3:`, on *resources*, `BUCKET` or `BUCKET/PATTERN`."""
    return {
        "Effect": "Allow",
        "Action": [f"s3:{action}" for action in actions.split()],
        "Resource": [f"arn:aws:s3:::{resource}" for resource in resources],
    }


class MinioCredentials:
    """`CredentialStore` on a MinIO at *origin*; clients are told *public_origin*."""

    def __init__(self, origin: str, parent_password: str, *, public_origin: str) -> None:
        parts = urlsplit(origin)
        self._endpoint = public_origin
        self._admin = MinioAdmin(
            endpoint=parts.netloc,
            credentials=StaticProvider(PARENT, parent_password),
            secure=parts.scheme == "https",
            region=REGION,
            http_client=urllib3.PoolManager(timeout=urllib3.Timeout(CALL_SECONDS), retries=urllib3.Retry(0)),
        )

    async def create(self, user: str) -> NewCredential:
        """See `CredentialStore.create`."""
        made = NewCredential(f"ENL{secrets.token_hex(8).upper()}", user, self._endpoint, secrets.token_hex(20))
        await _said(
            self._admin.add_service_account,
            access_key=made.access_key,
            secret_key=made.secret_key,
            description=user,
            policy=home_policy(home_of(user)),
        )
        return made

    async def list(self) -> list[Credential]:
        """See `CredentialStore.list`."""
        accounts = json.loads(await _said(self._admin.list_service_account, PARENT)).get("accounts") or ()
        found = [Credential(account["accessKey"], account.get("description", "")) for account in accounts]
        return sorted(found, key=lambda credential: (credential.user, credential.access_key))

    async def revoke(self, access_key: str) -> bool:
        """See `CredentialStore.revoke`."""
        if access_key not in {credential.access_key for credential in await self.list()}:
            return False
        await _said(self._admin.delete_service_account, access_key)
        return True


async def _said(call: Callable[..., _Said], *args: Any, **kwargs: Any) -> _Said:  # noqa: ANN401 - the library's own
    try:
        return await asyncio.to_thread(call, *args, **kwargs)
    except (MinioAdminException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise storage_unavailable(f"objects, accounts of {PARENT}: {type(error).__name__}") from error
