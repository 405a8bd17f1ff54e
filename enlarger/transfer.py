"""Files to and from the object store by signed URL, streamed; a download appears whole, checked, or not at all."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import httpx2

from enlarger.errors import EnlargerError, storage_problem
from enlarger.models import Output, SignedPut

#: Called with bytes done and bytes in all.
OnBytes = Callable[[int, int], None]

CHUNK_BYTES: Final = 256 * 1024


def put_file(http: httpx2.Client, put: SignedPut, path: Path, *, size_bytes: int, on_progress: OnBytes) -> None:
    """PUT the file to a URL that is signed for exactly *size_bytes*.

    Raises:
        EnlargerError: `file_changed` when the file has another size by now, `upload_refused` from the store.
    """
    headers = httpx2.Headers({**put.headers})
    headers["content-length"] = str(size_bytes)  # part of the signature; without it the body would go out chunked
    with path.open("rb") as file:
        body = _exactly(file, size_bytes, on_progress)
        response = http.put(put.url, content=body, headers=headers)
    if not response.is_success:
        hint = "Try again: a signed address holds for some minutes and for one size."
        raise storage_problem(response, code="upload_refused", hint=hint)


def fetch_file(http: httpx2.Client, url: str, to: Path, *, output: Output, on_progress: OnBytes, replace: bool) -> None:
    """GET *output* from a signed URL into *to*, which appears only when every byte agrees with its sha256.

    Raises:
        EnlargerError: `download_refused` from the store, `output_corrupt` when the bytes are not the output's,
            `output_exists` when *to* is there by now and *replace* is false.
    """
    part = to.with_name(f".{to.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            _download(http, url, file, output=output, on_progress=on_progress)
        if replace:
            part.replace(to)
        else:
            os.link(part, to)  # unlike a rename, it fails when somebody was faster
    except FileExistsError as error:
        raise EnlargerError(f"{to} exists", code="output_exists", hint="Use --force to replace it.") from error
    finally:
        part.unlink(missing_ok=True)


def _exactly(file: BinaryIO, size_bytes: int, on_progress: OnBytes) -> Iterator[bytes]:
    if os.fstat(file.fileno()).st_size != size_bytes:
        raise EnlargerError(
            f"{file.name} is no longer the {size_bytes} bytes it was",
            code="file_changed",
            hint="Upload it again once nothing writes to it.",
        )
    sent = 0
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
        sent += len(chunk)
        on_progress(sent, size_bytes)


def _download(http: httpx2.Client, url: str, file: BinaryIO, *, output: Output, on_progress: OnBytes) -> None:
    digest, received = hashlib.sha256(), 0
    # identity: what is hashed is what the store holds
    with http.stream("GET", url, headers={"accept-encoding": "identity"}) as response:
        if not response.is_success:
            response.read()
            hint = "Ask for the result again: a signed address holds for some minutes."
            raise storage_problem(response, code="download_refused", hint=hint)
        for chunk in response.iter_bytes():
            received += len(chunk)
            if received > output.bytes:
                raise corrupt(output, "more bytes than the job reported")
            digest.update(chunk)
            file.write(chunk)
            on_progress(received, output.bytes)
    if digest.hexdigest() != output.sha256:
        raise corrupt(output, "other bytes than the job reported")


def corrupt(output: Output, what: str) -> EnlargerError:
    """Refuse a download that is not the output."""
    return EnlargerError(
        f"{output.bucket}/{output.key} came as {what}; nothing was written",
        code="output_corrupt",
        hint="Fetch it again; if it stays so, the stored object was changed after the job.",
    )
