"""The object store on MinIO or another S3: signed by the minio library, sent over one asynchronous connection pool."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import BinaryIO, Final, TypeAlias
from urllib.parse import quote, unquote, urlsplit

import httpx2
import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.error import MinioException
from minio.signer import sign_v4_s3

from pipeline.errors import storage_unavailable
from pipeline.ports.objects import KeyRefusedError, ObjectInfo, ObjectMissingError, PreconditionError
from pipeline.topology import REGION

CHUNK_BYTES: Final = 1 << 20
PAGE: Final = 1000
METADATA_PREFIX: Final = "x-amz-meta-"
TIMEOUT: Final = httpx2.Timeout(connect=5, read=60, write=60, pool=60)
#: Credentials or a clock that somebody has to mend, a request that took too long, too many of them.
NOT_THE_JOBS_FAULT: Final = frozenset({403, 408, 429})
#: How a gateway to a file system says that `a` and `a/b` cannot both be there, or that a name is too long.
PATH_CONFLICTS: Final = (b"<Code>ObjectParentIsFile</Code>", b"<Code>ExistingObjectIsDirectory</Code>")
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
#: What is sent, and the headers that describe it.
Body: TypeAlias = tuple[bytes | AsyncIterator[bytes] | None, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an object store is, and who we are there."""

    origin: str
    credentials: Credentials

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Split `http://ACCESS:SECRET@host:port`."""
        parts = urlsplit(url)
        if not parts.username or not parts.password or not parts.hostname:
            raise ValueError("the object store's URL must look like http://ACCESS:SECRET@host:port")
        credentials = Credentials(access_key=unquote(parts.username), secret_key=unquote(parts.password))
        return cls(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", credentials)

    @property
    def host(self) -> str:
        """`host:port`, as signed."""
        return urlsplit(self.origin).netloc

    def url(self, bucket: str, key: str) -> str:
        """The path-style URL of an object, escaped as SigV4 wants it."""
        return f"{self.origin}/{bucket}/{quote(key, safe='/~')}"

    def client(self) -> Minio:
        """The library's own client, for listing and for signed policies."""
        return Minio(
            endpoint=self.host,
            access_key=self.credentials.access_key,
            secret_key=self.credentials.secret_key,
            secure=self.origin.startswith("https:"),
            region=REGION,
            http_client=urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=60), retries=urllib3.Retry(2)),
        )


class MinioObjects:
    """`ObjectStore` on an S3 endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        limits = httpx2.Limits(max_connections=64)
        self._http = httpx2.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False, follow_redirects=False)

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        return _info(key, await self._send("HEAD", bucket, key))

    async def read(
        self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
    ) -> tuple[ObjectInfo, bytes]:
        """See `ObjectStore.read`."""
        headers = {} if if_match is None else {"if-match": f'"{if_match}"'}
        if first_bytes is not None:
            headers["range"] = f"bytes=0-{first_bytes - 1}"
        answer = await self._send("GET", bucket, key, headers=headers)
        if answer.status_code == 416:  # an empty object has no first byte
            info = await self.head(bucket, key)
            if info.bytes or if_match not in (None, info.etag):
                raise PreconditionError(key)  # replaced in this very moment
            return info, b""
        return _info(key, answer), answer.content

    async def stream(
        self, bucket: str, key: str, *, if_match: str | None = None, span: tuple[int, int] | None = None
    ) -> AsyncGenerator[bytes]:
        """See `ObjectStore.stream`."""
        url = self._endpoint.url(bucket, key)
        wanted = {} if span is None else {"range": f"bytes={span[0]}-{span[1]}"}
        signed = self._sign("GET", url, wanted | ({} if if_match is None else {"if-match": f'"{if_match}"'}))
        try:
            async with self._http.stream("GET", url, headers=signed) as answer:
                async for part in _checked(answer, key).aiter_bytes(CHUNK_BYTES):
                    yield part
        except httpx2.TransportError as error:
            raise storage_unavailable(f"objects, {type(error).__name__}") from error

    async def put(  # noqa: PLR0913 - an S3 write has these parts
        self,
        bucket: str,
        key: str,
        body: bytes | memoryview | BinaryIO,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        sha256: str | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        """See `ObjectStore.put`. Bytes are sent with their SHA-256, so damage on the way is refused."""
        headers = {"content-type": content_type}
        headers |= {f"{METADATA_PREFIX}{name}": value for name, value in (metadata or {}).items()}
        if if_match is not None:
            headers["if-match"] = f'"{if_match}"'
        if if_absent:
            headers["if-none-match"] = "*"
        try:
            answer = await self._send("PUT", bucket, key, headers=headers, body=await _content(body, sha256))
        except ObjectMissingError as error:
            if if_match is None:
                raise
            raise PreconditionError(key) from error  # S3 calls it missing: the version that was seen is gone
        return answer.headers["etag"].strip('"')

    async def copy(
        self, bucket: str, key: str, to_key: str, *, if_match: str, to_bucket: str | None = None, bare: bool = False
    ) -> None:
        """See `ObjectStore.copy`."""
        source = {"x-amz-copy-source": f"/{bucket}/{quote(key, safe='/~')}"}
        source["x-amz-copy-source-if-match"] = f'"{if_match}"'
        source["x-amz-metadata-directive"] = "REPLACE" if bare else "COPY"
        answer = await self._send("PUT", to_bucket or bucket, to_key, headers=source)
        if b"<Error>" in answer.content:  # S3 answers 200 at its head and may fail behind it
            raise storage_unavailable("objects, a copy broke off")

    async def delete(self, bucket: str, key: str) -> None:
        """See `ObjectStore.delete`."""
        await self._send("DELETE", bucket, key)

    async def list(self, bucket: str) -> AsyncIterator[ObjectInfo]:
        """See `ObjectStore.list`; the library pages with a blocking client, so a thread turns the pages."""
        found = self._endpoint.client().list_objects(bucket, recursive=True)
        pages: Iterator[ObjectInfo] = (
            ObjectInfo(item.object_name or "", item.size or 0, (item.etag or "").strip('"'), item.last_modified)
            for item in found
            if item.last_modified is not None
        )
        while page := await asyncio.to_thread(_next_page, pages):
            for info in page:
                yield info

    async def ping(self) -> None:
        """Raise unless the store is ready to serve; MinIO's own readiness, without credentials."""
        answer = await self._http.get(f"{self._endpoint.origin}/minio/health/cluster", timeout=2)
        answer.raise_for_status()

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def _send(
        self,
        method: str,
        bucket: str,
        key: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = (None, {}),
    ) -> httpx2.Response:
        content, described = body
        url = self._endpoint.url(bucket, key)
        signed = self._sign(method, url, {**(headers or {}), **described})
        try:
            answer = await self._http.request(method, url, headers=signed, content=content)
        except httpx2.TransportError as error:
            raise storage_unavailable(f"objects, {type(error).__name__}") from error
        return _checked(answer, key)

    def _sign(self, method: str, url: str, headers: dict[str, str]) -> dict[str, str]:
        now = datetime.now(UTC)
        digest = headers.get("x-amz-content-sha256", UNSIGNED)
        named = {
            **headers,
            "host": self._endpoint.host,
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
            "x-amz-content-sha256": digest,
        }
        signed = sign_v4_s3(
            method=method,
            url=urlsplit(url),
            region=REGION,
            headers={**named},
            credentials=self._endpoint.credentials,
            content_sha256=digest,
            date=now,
        )
        return {name: str(value) for name, value in signed.items()}


def _next_page(pages: Iterator[ObjectInfo]) -> list[ObjectInfo]:
    try:
        return list(islice(pages, PAGE))
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise storage_unavailable(f"objects, {type(error).__name__}") from error


async def _content(body: bytes | memoryview | BinaryIO, sha256: str | None) -> Body:
    if isinstance(body, bytes | memoryview):
        digest = sha256 or (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()  # the loop goes on meanwhile
        described = {"content-length": str(len(body)), "x-amz-content-sha256": digest}
        return body if isinstance(body, bytes) else _parts(body), described
    size = await asyncio.to_thread(body.seek, 0, 2)
    await asyncio.to_thread(body.seek, 0)
    return _chunks(body), {"content-length": str(size)}


async def _parts(body: memoryview) -> AsyncIterator[bytes]:
    for start in range(0, len(body), CHUNK_BYTES):
        yield bytes(body[start : start + CHUNK_BYTES])


async def _chunks(body: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(body.read, CHUNK_BYTES):
        yield chunk


def _checked(answer: httpx2.Response, key: str) -> httpx2.Response:
    if answer.status_code == 404:
        raise ObjectMissingError(key)
    if answer.status_code == 412:
        raise PreconditionError(key)
    if answer.request.method == "PUT" and (answer.status_code == 400 or _is_taken_by_path(answer)):
        raise KeyRefusedError(key)
    if answer.status_code in NOT_THE_JOBS_FAULT or answer.status_code >= 500:
        raise storage_unavailable(f"objects, status {answer.status_code}")
    if answer.status_code != 416:
        answer.raise_for_status()
    return answer


def _is_taken_by_path(answer: httpx2.Response) -> bool:
    return answer.status_code == 409 and any(code in answer.content for code in PATH_CONFLICTS)


def _info(key: str, answer: httpx2.Response) -> ObjectInfo:
    headers = answer.headers
    total = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "0")
    names = {name.lower(): value for name, value in headers.items()}
    metadata = {n.removeprefix(METADATA_PREFIX): v for n, v in names.items() if n.startswith(METADATA_PREFIX)}
    modified = headers.get("last-modified")
    moment = parsedate_to_datetime(modified) if modified else datetime.now(UTC)
    return ObjectInfo(key, int(total), headers.get("etag", "").strip('"'), moment, metadata)
