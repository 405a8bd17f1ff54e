"""Permissions to put pictures under keys of one's own, as an S3 client does: what is asked, and what is answered.

No job is announced: the bucket's notification makes it, from what the key says.
"""

import unicodedata
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from api.requests import SizeBytes
from api.submissions import UPLOAD_SECONDS
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import DEFAULT_OWNER, owner_of
from pipeline.keys import ignored
from pipeline.options import MAX_KEY_BYTES, MAX_PART_BYTES, storable
from pipeline.ports.objects import Presigner, UploadPut
from pipeline.segments import from_key
from pipeline.wire import Wire

#: So many are signed in one call: whoever sends a folder makes few of them.
MAX_OBJECTS: Final = 100


def _usable(key: str) -> str:
    """*key* if an upload there is kept and becomes a job."""
    if key.startswith("jobs/"):
        raise ValueError("is reserved for announced uploads: choose a folder of another name")
    if "" in key.split("/")[:-1]:
        raise ValueError("should have no folder without a name: write trip/a.jpg")
    if any(unicodedata.category(char) == "Cc" for char in key):
        raise ValueError("should have no control characters")
    if not storable(key):
        raise ValueError(f"should have at most {MAX_KEY_BYTES} bytes, and {MAX_PART_BYTES} between two slashes")
    if ignored(key):
        raise ValueError("is never enlarged: give it a name, none that begins with a dot or ends with .part")
    return key


Key = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY_BYTES), AfterValidator(_usable)]


class ObjectRequest(BaseModel):
    """One picture that will be put into the bucket `uploads`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Key
    size_bytes: SizeBytes


def _each_once(objects: list[ObjectRequest]) -> list[ObjectRequest]:
    if len({one.key for one in objects}) < len(objects):
        raise ValueError("should name each key once")
    return objects


class ObjectsRequest(BaseModel):
    """Pictures that will be put into the bucket `uploads`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objects: Annotated[list[ObjectRequest], Field(min_length=1, max_length=MAX_OBJECTS), AfterValidator(_each_once)]


class SignedObject(Wire):
    """Where one picture goes: PUT exactly its bytes, with these headers."""

    key: str
    put: UploadPut


class ObjectsAnswer(Wire):
    """Where each picture goes, in the order of the request, until `expires_at`."""

    items: tuple[SignedObject, ...]
    expires_at: datetime


def signed(owner: str, asked: ObjectsRequest, presigner: Presigner, *, clock: Clock) -> ObjectsAnswer:
    """A PUT for each picture.

    Raises:
        PipelineError: `object_missing`: a key belongs to another owner.
        InvalidOptionsError: A folder of a key spells options that nobody understands.
    """
    for one in asked.objects:
        if owner_of(one.key) != owner:
            raise _not_yours(owner)
        from_key(one.key)
    until = clock() + timedelta(seconds=UPLOAD_SECONDS)
    items = tuple(
        SignedObject(key=one.key, put=presigner.put(one.key, size_bytes=one.size_bytes, expires_seconds=UPLOAD_SECONDS))
        for one in asked.objects
    )
    return ObjectsAnswer(items=items, expires_at=until)


def _not_yours(owner: str) -> PipelineError:
    where = "keys that do not begin with ~" if owner == DEFAULT_OWNER else f"keys below ~{owner}/"
    return PipelineError("A key is none of yours.", code="object_missing", hint=f"Yours are {where}.")
