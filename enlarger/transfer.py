"""Files to and from the object store by signed URL, streamed; a download appears whole, checked, or not at all."""

import hashlib
import os
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, Final

import httpx2

from enlarger.errors import EnlargerError, storage_problem
from enlarger.models import Output, SignedPut
from enlarger.network import CHUNK_BYTES, Network
from enlarger.pictures import Picture, size_of

#: Called with bytes done and bytes in all.
OnBytes = Callable[[int, int], None]

#: What is hashed is what the store holds.
_AS_IT_IS: Final = {"accept-encoding": "identity"}


def ignore(*_: object) -> None:
    """Nobody watches."""


async def put_file(network: Network, put: SignedPut, picture: Picture, on_progress: OnBytes) -> str | None:
    """PUT a picture to a URL that is signed for exactly its size; return its ETag, where the store says one.

    Raises:
        EnlargerError: `file_changed` when the file has another size by now, `upload_refused` from the store.
    """
    headers = httpx2.Headers({**put.headers})
    # part of the signature; without it the body would go out chunked
    headers["content-length"] = str(picture.size_bytes)
    with await network.apart(picture.open) as file:
        async with aclosing(_exactly(network, file, picture, on_progress)) as body:
            response = await network.put(put.url, headers, body)
    if not response.is_success:
        hint = "Try again: a signed address holds for some minutes and for one size."
        raise storage_problem(response, code="upload_refused", hint=hint)
    return response.headers.get("etag", "").strip('"') or None


async def fetch_file(
    network: Network, url: str, to: Path, *, output: Output, on_progress: OnBytes, replace: bool
) -> None:
    """GET *output* from a signed URL into *to*, which appears only when every byte agrees with its sha256.

    Raises:
        EnlargerError: `download_refused` from the store, `output_corrupt` when the bytes are not the output's,
            `output_exists` when *to* is there by now and *replace* is false.
    """
    part = to.with_name(f".{to.name}.{secrets.token_hex(4)}.part")
    try:
        with await network.apart(_making, part) as file:
            await _download(network, url, file, output=output, on_progress=on_progress)
        if replace:
            await network.apart(part.replace, to)
        else:
            await network.apart(os.link, part, to)  # unlike a rename, it fails when somebody was faster
    except FileExistsError as error:
        raise taken(to) from error
    finally:
        part.unlink(missing_ok=True)  # here, not apart: whoever was cancelled leaves nothing behind either


def _making(path: Path) -> BinaryIO:
    return path.open("xb")


async def _exactly(
    network: Network, file: BinaryIO, picture: Picture, on_progress: OnBytes
) -> AsyncGenerator[bytes, None]:
    if await network.apart(size_of, file) != picture.size_bytes:
        raise EnlargerError(
            f"{picture.name} is no longer the {picture.size_bytes} bytes it was",
            code="file_changed",
            hint="Upload it again once nothing writes to it.",
        )
    sent = 0
    while chunk := await network.apart(file.read, CHUNK_BYTES):
        yield chunk
        sent += len(chunk)
        on_progress(sent, picture.size_bytes)


async def _download(network: Network, url: str, file: BinaryIO, *, output: Output, on_progress: OnBytes) -> None:
    digest, received = hashlib.sha256(), 0

    def keep(chunk: bytes) -> None:
        digest.update(chunk)
        file.write(chunk)

    async with network.fetch(url, _AS_IT_IS) as stream:
        if not stream.response.is_success:
            await stream.read()
            hint = "Ask for the result again: a signed address holds for some minutes."
            raise storage_problem(stream.response, code="download_refused", hint=hint)
        async for chunk in stream.chunks():
            received += len(chunk)
            if received > output.bytes:
                raise corrupt(output, "more bytes than the job reported")
            await network.apart(keep, chunk)
            on_progress(received, output.bytes)
    if digest.hexdigest() != output.sha256:
        raise corrupt(output, "other bytes than the job reported")


def taken(to: Path) -> EnlargerError:
    """Refuse to replace a file."""
    hint = "Name another file, or let it be replaced: --force, in Python replace=True."
    return EnlargerError(f"{to} exists", code="output_exists", hint=hint)


def corrupt(output: Output, what: str) -> EnlargerError:
    """Refuse a download that is not the output."""
    return EnlargerError(
        f"{output.bucket}/{output.key} came as {what}; nothing was written",
        code="output_corrupt",
        hint="Fetch it again; if it stays so, the stored object was changed after the job.",
    )
