"""What all dialects do with jobs: make them, find them, wait for them, and hand out the file itself."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, BinaryIO, Final
from uuid import UUID

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response
from ulid import ULID

from api.access import admit, caller
from api.arrivals import Arrival
from api.dialects.lines import RefusedError
from api.downloads import begun, download
from api.idempotency import Making
from api.jobs import find
from api.limits import LimitName
from api.problems import checked
from api.requests import MAX_UPLOAD_BYTES, UploadRequest
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.formats import Format, sniff
from pipeline.identity import fingerprint, new_job_id
from pipeline.job import Job, Status
from pipeline.options import parse
from pipeline.ports.documents import JobFilter, JobStore
from pipeline.ports.objects import ObjectMissingError, PreconditionError

ANONYMOUS: Final = "anonymous"
#: Between two looks at a job that a client waits for.
LOOK_SECONDS: Final = 0.2
HEAD_BYTES: Final = 32
#: Jobs are read so many at a time.
PAGE: Final = 200
PAGES: Final = 50
#: Our statuses in the words of the services that are replaced.
WORDS: Final[Mapping[Status, str]] = {
    Status.AWAITING_UPLOAD: "queued",
    Status.QUEUED: "queued",
    Status.PROCESSING: "processing",
    Status.PUBLISHING: "processing",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.EXPIRED: "failed",
    Status.CANCELED: "cancelled",
}
#: Names in the job's metadata: the dialect that made it, and what the client called the file.
DIALECT: Final = "dialect"
FILENAME: Final = "filename"
_METADATA_CHARACTERS: Final = 512
#: Which limit a call counts against; whatever else there is ends things, which is no work.
_KINDS: Final[Mapping[str, LimitName]] = {"GET": "status", "HEAD": "status", "POST": "upscale"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A file as a client sent it."""

    file: BinaryIO
    size_bytes: int
    filename: str


async def bearer_owner(request: Request[Services]) -> str:
    """Whose token the request carries; raises `token_invalid`, `token_forbidden` or `rate_limited`."""
    reads = request.method in {"GET", "HEAD"}
    owner = (await admit(request, admin=False, scope=f"jobs:{'read' if reads else 'write'}")).owner
    return await _counted(request, owner)


async def token_owner(request: Request[Services]) -> str:
    """The same, with the tokens of the settings besides."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    named = request.state["dialects"].tokens.get(fingerprint(given.strip()))
    if scheme.lower() == "bearer" and named is not None:
        return await _counted(request, named)
    return await bearer_owner(request)


async def anybody(request: Request[Services]) -> str:
    """The owner of the request's token, or `anonymous`; raises `token_invalid` where nobody may be that."""
    if "authorization" in request.headers or not request.state["dialects"].anonymous:
        return await token_owner(request)
    return await _counted(request, ANONYMOUS)


async def whoever(request: Request[Services]) -> None:
    """Count a call that needs only a name which nobody guesses, by its address; raises `rate_limited`."""
    await _counted(request, ANONYMOUS)


async def _counted(request: Request[Services], owner: str) -> str:
    """*owner*, whose call counts as one of ours does, or that of the address where nobody is named."""
    by = caller(request) if owner == ANONYMOUS else f"owner:{owner}"
    kind = _KINDS.get(request.method, "default")
    request.scope["limits"] = await request.state["limits"].admit(kind, by)
    return owner


def public_id(job: Job) -> str:
    """The id of a job as the UUID that its 128 bits also are."""
    return str(ULID.from_str(job.id.removeprefix("job_")).to_uuid())


def job_id_of(text: str) -> str:
    """The id of the job that a UUID stands for; whatever else *text* is stands for none that exists."""
    try:
        return f"job_{ULID.from_uuid(UUID(text))}"
    except ValueError:
        return ""


async def found(request: Request[Services], owner: str, dialect: str, name: str) -> Job:
    """The owner's job that was made in *dialect*, by the path parameter *name*; raises `RefusedError` 404."""
    try:
        job = await find(request.state["documents"].jobs, owner, job_id_of(request.path_params[name]))
    except PipelineError as error:
        raise (missing() if error.code == "job_not_found" else error) from None
    return made_by(dialect, job)


def made_by(dialect: str, job: Job | None) -> Job:
    """*job* if it was made in *dialect*; raises `RefusedError` 404 for any other, and for none."""
    if job is None or job.metadata.get(DIALECT) != dialect:
        raise missing()
    return job


def _every(_job: Job) -> bool:
    return True


async def made_in(
    jobs: JobStore, owner: str, dialect: str, *, limit: int, wanted: Callable[[Job], bool] = _every
) -> list[Job]:
    """The owner's *wanted* jobs that were made in *dialect*, newest first, among their last `PAGES` pages of jobs."""
    listed: list[Job] = []
    before: str | None = None
    for _ in range(PAGES):
        page = await jobs.page(owner, limit=PAGE, before=before, only=JobFilter(ephemeral=False))
        listed += [job for job in page if job.metadata.get(DIALECT) == dialect and wanted(job)]
        if len(page) < PAGE or len(listed) >= limit:
            break
        before = page[-1].id
    return listed[:limit]


def missing(detail: str = "Not found") -> RefusedError:
    """What stands for everything that is not there, or not the caller's."""
    return RefusedError(404, detail)


def uploaded(form: FormData, *, most_bytes: int) -> Picture:
    """The field `file` of a form; raises `RefusedError` 400 where it is missing, empty or too large."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise RefusedError(400, "The form needs a field file that holds a picture")
    if not file.size:
        raise RefusedError(400, "The file is empty")
    if file.size > most_bytes:
        raise RefusedError(400, f"The file is too large: {most_bytes} bytes are the limit")
    return Picture(file.file, file.size, file.filename or "upload")


def expect_format(head: bytes, *known: Format) -> Format:
    """The format of the picture that begins with *head*; raises `RefusedError` 400 where it is none of *known*."""
    format_ = sniff(head)
    if format_ not in known:
        raise RefusedError(400, f"The file is no picture in one of the formats {', '.join(known)}")
    return format_


def head_of(picture: Picture) -> bytes:
    """The first bytes, which the file is put back to."""
    head = picture.file.read(HEAD_BYTES)
    picture.file.seek(0)
    return head


async def submit(
    services: Services,
    owner: str,
    dialect: str,
    picture: Picture,
    options: Mapping[str, Any],
    *,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> Job:
    """Make a job of *picture*; raises as `Submissions.receive`, `request_invalid` and `options_invalid`."""
    values = {
        "filename": picture.filename,
        "size_bytes": picture.size_bytes,
        "options": parse(options),
        "metadata": {DIALECT: dialect, FILENAME: picture.filename[:_METADATA_CHARACTERS], **metadata},
    }
    wanted = checked(UploadRequest, values, {MAX_UPLOAD_BYTES: services["max_upload_bytes"]})
    return await services["submissions"].receive(owner, Arrival(wanted, picture.file), Making(new_job_id()))


async def ended(services: Services, job: Job, *, seconds: float) -> Job:
    """*job* once it has ended, or as it stands after so many *seconds*."""
    until = services["clock"]() + timedelta(seconds=seconds)
    while not job.terminal and services["clock"]() < until:
        await services["dialects"].pause(LOOK_SECONDS)
        job = await services["documents"].jobs.get(job.id) or job
    return job


async def served(request: Request[Services], job: Job, *, attached: bool = True) -> Response:
    """The main output itself; raises `RefusedError` 404 where it is gone, or not there yet."""
    if job.status is not Status.SUCCEEDED:
        raise missing(f"There is no result: the job is {WORDS[job.status]}")
    try:
        answer = await download(request, job.outputs[0], attached=attached)
    except PipelineError as error:
        raise (missing("The file is gone") if error.code == "output_expired" else error) from None
    answer.headers["cross-origin-resource-policy"] = "cross-origin"  # pages of other origins show it
    return answer


async def streamed(request: Request[Services], bucket: str, key: str, etag: str) -> AsyncGenerator[bytes]:
    """The bytes of one version of an object; raises `RefusedError` 404 before the first of them where it is gone."""
    try:
        return await begun(request.state["objects"].stream(bucket, key, if_match=etag))
    except (ObjectMissingError, PreconditionError):
        raise missing("The file is gone") from None


def zulu(moment: datetime) -> str:
    """*moment* as these services write it: seconds, and `Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
