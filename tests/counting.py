"""Counting what a job costs: document commands as the driver sends them, object calls as the port makes them."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import BinaryIO

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from pipeline.ports.objects import ObjectInfo, ObjectStore

WRITES = frozenset({"insert", "update", "delete", "findAndModify"})
READS = frozenset({"find", "aggregate", "count", "getMore"})


class CommandCounter(CommandListener):
    """Counts commands by name; give it to a client as an event listener."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    @property
    def writes(self) -> int:
        return sum(self.seen[name] for name in WRITES)

    @property
    def reads(self) -> int:
        return sum(self.seen[name] for name in READS)

    def started(self, event: CommandStartedEvent) -> None:
        self.seen[event.command_name] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


class CountedObjects:
    """An `ObjectStore` that counts its calls by name; each is one request."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.seen: Counter[str] = Counter()

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        self.seen["head"] += 1
        return await self._objects.head(bucket, key)

    async def read(
        self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
    ) -> tuple[ObjectInfo, bytes]:
        self.seen["read"] += 1
        return await self._objects.read(bucket, key, first_bytes=first_bytes, if_match=if_match)

    def stream(
        self, bucket: str, key: str, *, if_match: str | None = None, span: tuple[int, int] | None = None
    ) -> AsyncGenerator[bytes]:
        self.seen["stream"] += 1
        return self._objects.stream(bucket, key, if_match=if_match, span=span)

    async def put(
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
        self.seen["put"] += 1
        return await self._objects.put(
            bucket,
            key,
            body,
            content_type=content_type,
            metadata=metadata,
            sha256=sha256,
            if_match=if_match,
            if_absent=if_absent,
        )

    async def copy(
        self, bucket: str, key: str, to_key: str, *, if_match: str, to_bucket: str | None = None, bare: bool = False
    ) -> None:
        self.seen["copy"] += 1
        await self._objects.copy(bucket, key, to_key, if_match=if_match, to_bucket=to_bucket, bare=bare)

    async def delete(self, bucket: str, key: str) -> None:
        self.seen["delete"] += 1
        await self._objects.delete(bucket, key)

    def list(self, bucket: str) -> AsyncIterator[ObjectInfo]:
        self.seen["list"] += 1
        return self._objects.list(bucket)

    async def ping(self) -> None:
        await self._objects.ping()
