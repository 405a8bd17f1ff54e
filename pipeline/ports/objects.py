"""What the services need of an object store."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What an object store says of one object. `metadata` holds user metadata in lower case, without prefix."""

    key: str
    bytes: int
    etag: str
    modified_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectMissingError(Exception):
    """There is no such object (any more)."""


class KeyRefusedError(Exception):
    """The store cannot hold an object of this name: a part of it, or all of it, is too long."""


class PreconditionError(Exception):
    """The object is not the version that the call was meant for."""


class ObjectStore(Protocol):
    """Objects by bucket and key. Raises `PipelineError` `storage_unavailable` when the store does not answer."""

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """Describe an object; raises `ObjectMissingError`."""

    async def read(
        self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
    ) -> tuple[ObjectInfo, bytes]:
        """Read an object, or its first bytes; raises `ObjectMissingError` and `PreconditionError`."""

    def stream(
        self, bucket: str, key: str, *, if_match: str | None = None, span: tuple[int, int] | None = None
    ) -> AsyncGenerator[bytes]:
        """The bytes of an object in parts, none of them kept; the first step raises as `read`.

        Args:
            bucket: Where.
            key: Of which name.
            if_match: The ETag that must be there.
            span: Positions of the first and of the last byte that is wanted, where not all are.
        """

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
        """Write an object in one atomic request and return its ETag.

        Args:
            bucket: Where.
            key: Under which name.
            body: A file is read from its start, in parts.
            content_type: What a download says it is.
            metadata: Names and values that stay with the object.
            sha256: Of *body*, in hex, where it is known already.
            if_match: The ETag that must be there now.
            if_absent: Nothing may be there now.

        Raises:
            PreconditionError: What is there is not what the call was meant for.
            KeyRefusedError: Nothing of this name can be there.
        """

    async def copy(
        self, bucket: str, key: str, to_key: str, *, if_match: str, to_bucket: str | None = None, bare: bool = False
    ) -> None:
        """Copy one version of an object to another key, within the store.

        Args:
            bucket: Where it is.
            key: Its name there.
            to_key: The name of the copy.
            if_match: The ETag that it must have.
            to_bucket: Where the copy goes; None: into the same bucket.
            bare: Leave its metadata behind.

        Raises:
            ObjectMissingError: There is no such object.
            PreconditionError: It has another ETag than *if_match*.
        """

    async def delete(self, bucket: str, key: str) -> None:
        """Delete an object; one that is absent is no error."""

    def list(self, bucket: str) -> AsyncIterator[ObjectInfo]:
        """Every object of a bucket in key order (without metadata)."""

    async def ping(self) -> None:
        """Raise when the store cannot be used."""


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A presigned POST: send *fields*, then the file as the last field `file`."""

    url: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class UploadPut:
    """A presigned PUT: send exactly these headers."""

    url: str
    headers: dict[str, str]


class Presigner(Protocol):
    """URLs that carry a permission of ours to a client. Signing never touches the network."""

    def form(self, key: str, *, size_bytes: int, content_type: str | None, expires_seconds: int) -> UploadForm:
        """A form upload to `uploads/<key>` of at most *size_bytes*."""

    def put(self, key: str, *, size_bytes: int, expires_seconds: int) -> UploadPut:
        """A PUT to `uploads/<key>` of exactly *size_bytes*."""

    def get(self, bucket: str, key: str, *, filename: str, expires_seconds: int) -> str:
        """A download URL that saves as *filename*."""
