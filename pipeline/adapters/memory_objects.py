"""The object store in memory, for unit tests alone."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import BinaryIO

from pipeline.ports.objects import ObjectInfo, ObjectMissingError, PreconditionError


class MemoryObjects:
    """`ObjectStore` in a dictionary; ETags are MD5 as S3 makes them."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], tuple[ObjectInfo, bytes]] = {}

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        return self._find(bucket, key)[0]

    async def read(
        self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
    ) -> tuple[ObjectInfo, bytes]:
        info, body = self._find(bucket, key)
        if if_match is not None and info.etag != if_match:
            raise PreconditionError(key)
        return info, body[:first_bytes]

    async def stream(
        self, bucket: str, key: str, *, if_match: str | None = None, span: tuple[int, int] | None = None
    ) -> AsyncGenerator[bytes]:
        _, body = await self.read(bucket, key, if_match=if_match)
        yield body if span is None else body[span[0] : span[1] + 1]

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
        del content_type, sha256
        present = self.stored.get((bucket, key))
        if (if_absent and present) or (if_match is not None and (present is None or present[0].etag != if_match)):
            raise PreconditionError(key)
        data = bytes(body) if isinstance(body, bytes | memoryview) else await asyncio.to_thread(_whole, body)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        info = ObjectInfo(key, len(data), etag, datetime.now(UTC), dict(metadata or {}))
        self.stored[bucket, key] = (info, data)
        return etag

    async def copy(
        self, bucket: str, key: str, to_key: str, *, if_match: str, to_bucket: str | None = None, bare: bool = False
    ) -> None:
        info, body = await self.read(bucket, key, if_match=if_match)
        await self.put(to_bucket or bucket, to_key, body, content_type="", metadata={} if bare else info.metadata)

    async def delete(self, bucket: str, key: str) -> None:
        self.stored.pop((bucket, key), None)

    async def list(self, bucket: str) -> AsyncIterator[ObjectInfo]:
        for (place, _), (info, _) in sorted(self.stored.items()):
            if place == bucket:
                yield info

    async def ping(self) -> None:
        return None

    def _find(self, bucket: str, key: str) -> tuple[ObjectInfo, bytes]:
        if (bucket, key) not in self.stored:
            raise ObjectMissingError(key)
        return self.stored[bucket, key]


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
