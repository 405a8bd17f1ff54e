"""A folder and its copy, enlarged: what is to be sent, what became of it, and what comes back. Prints nothing."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from enlarger.client import Client
from enlarger.command.places import Place
from enlarger.errors import EnlargerError
from enlarger.models import Job, Output, SignedPut
from enlarger.objects import MAX_OBJECTS
from enlarger.transfer import OnBytes

#: Ends after which the same picture is worth sending again.
ENDED_BADLY: Final = frozenset({"failed", "canceled", "expired"})
#: What is signed together, so that nothing waits for longer than a signature holds.
SIGNED_BYTES: Final = 256 * 1024 * 1024
_MD5: Final = re.compile("[0-9a-f]{32}")
#: Refusals of the caller, not of one key.
_CALLERS: Final = frozenset({401, 403, 429})


@dataclass(frozen=True, slots=True)
class Item:
    """One picture, its key, and what is known of it.

    Args:
        photo: The file.
        key: Where it goes.
        size_bytes: Its size when it was looked at.
        etag: What the store calls the bytes that are there, where that is known.
        sent: It went up just now.
        job: The newest job of its key that is about this picture.
        output: The main output, where it came back or was there already.
        fetched: It came back just now.
        error: What went wrong.
    """

    photo: Path
    key: str
    size_bytes: int = 0
    etag: str | None = None
    sent: bool = False
    job: Job | None = None
    output: Path | None = None
    fetched: bool = False
    error: EnlargerError | None = None


def newest(jobs: Iterable[Job]) -> dict[str, Job]:
    """The newest job of each key, of jobs that come newest first."""
    found: dict[str, Job] = {}
    for job in jobs:
        found.setdefault(job.source.key, job)
    return found


def check(client: Client, place: Place) -> None:
    """Ask whether pictures may go there at all, so that a mistake in the prefix is told once and not for each of them.

    Raises:
        EnlargerError: `object_missing`, `options_invalid` or what else the service has against it.
    """
    client.sign_objects({f"{place.prefix}picture.jpg": 1})


def compared(place: Place, photo: Path, known: Mapping[str, Job]) -> Item:
    """*photo* beside the newest job of its key, which is its own if that is of the same bytes and did not end badly."""
    item = Item(photo, str(photo))
    try:
        item = replace(item, key=place.key_of(photo))
        item = replace(item, size_bytes=photo.stat().st_size)
        job = known.get(item.key)
        if not item.size_bytes:
            empty = EnlargerError("The file is empty", code="image_empty", hint="Send a picture.")
            return replace(item, error=empty)
        if job is None or not _is_of(job, photo, item.size_bytes):
            return item
        return replace(item, job=job, etag=job.source.etag)
    except EnlargerError as error:
        return replace(item, error=error)
    except OSError as error:
        return replace(item, error=unusable(error))


def signed(client: Client, items: list[Item]) -> Iterator[list[tuple[Item, SignedPut | None]]]:
    """The items with where they go, as many at a time as are sent before that expires; a bad key harms no other.

    One that goes nowhere has an error.
    """
    for group in _groups(items):
        yield list(_signed(client, group))


def send(client: Client, item: Item, put: SignedPut, on_progress: OnBytes) -> Item:
    """The item once its file is up, or with what went wrong."""
    try:
        etag = client.send_object(put, item.photo, size_bytes=item.size_bytes, on_progress=on_progress)
    except EnlargerError as error:
        return replace(item, error=error)
    except OSError as error:
        return replace(item, error=unusable(error))
    return replace(item, sent=True, etag=etag)


def told(item: Item, news: Job | EnlargerError) -> Item:
    """The item after its job has ended, well or badly, or after nobody could tell."""
    if isinstance(news, EnlargerError):
        return replace(item, error=news)
    try:
        return replace(item, job=news.raise_for_status())
    except EnlargerError as error:
        return replace(item, job=news, error=error)


def fetch(client: Client, place: Place, item: Item, on_progress: OnBytes) -> Item:
    """The item with its main output in the folder for outputs; one that is there with the same bytes is left alone."""
    if item.job is None or not item.job.outputs or item.error is not None:
        return item
    main = item.job.outputs[0]
    try:
        to = place.path_of(main.key)
        if _is_there(to, main):
            return replace(item, output=to)
        to.parent.mkdir(parents=True, exist_ok=True)
        return replace(item, output=client.result(item.job.id, to, on_progress=on_progress), fetched=True)
    except EnlargerError as error:
        return replace(item, error=error)
    except OSError as error:
        return replace(item, error=unusable(error))


def unusable(error: OSError) -> EnlargerError:
    """A file that cannot be read or written."""
    hint = "Check that the picture can be read and that the folder for outputs can be written."
    return EnlargerError(str(error), code="file_unusable", hint=hint)


def _groups(items: list[Item]) -> Iterator[list[Item]]:
    group: list[Item] = []
    size_bytes = 0
    for item in items:
        if group and (len(group) == MAX_OBJECTS or size_bytes + item.size_bytes > SIGNED_BYTES):
            yield group
            group, size_bytes = [], 0
        group.append(item)
        size_bytes += item.size_bytes
    if group:
        yield group


def _signed(client: Client, group: list[Item]) -> Iterator[tuple[Item, SignedPut | None]]:
    try:
        puts = client.sign_objects({item.key: item.size_bytes for item in group})
    except EnlargerError as error:
        if len(group) == 1 or not _about_a_key(error):
            yield from ((replace(item, error=error), None) for item in group)
            return
        middle = len(group) // 2  # nothing was signed: halve until the bad ones stand alone
        yield from _signed(client, group[:middle])
        yield from _signed(client, group[middle:])
    else:
        yield from ((item, puts[item.key]) for item in group)


def _about_a_key(error: EnlargerError) -> bool:
    return error.status is not None and 400 <= error.status < 500 and error.status not in _CALLERS


def _is_of(job: Job, photo: Path, size_bytes: int) -> bool:
    """Whether *job* is about what is in the file, by the upload's ETag, or its size where that is no MD5."""
    etag = (job.source.etag or "").strip('"')
    if job.status in ENDED_BADLY or job.source.bytes not in (None, size_bytes):
        return False
    if _MD5.fullmatch(etag):
        return digest(photo, "md5") == etag
    return bool(etag) and job.source.bytes == size_bytes


def _is_there(path: Path, output: Output) -> bool:
    return path.is_file() and path.stat().st_size == output.bytes and digest(path, "sha256") == output.sha256


def digest(path: Path, algorithm: str) -> str:
    """The digest of a file, in hex, read in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
