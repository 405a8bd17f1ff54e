"""What the service answers, as frozen values. Unknown fields are kept, never refused: newer services add some."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from enlarger.errors import EnlargerError

#: What happened and what to do, where a job ended without an error.
_ENDINGS: Final[Mapping[str, tuple[str, str]]] = {
    "deadline": ("It was not done before its deadline", "Retry it, or send it again with a later one or none."),
    "no_upload": ("Its file did not arrive in time", "Send it again."),
}
TERMINAL: Final = frozenset({"succeeded", "failed", "canceled", "expired"})


class Answer(BaseModel):
    """A value read from the wire."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


_Item = TypeVar("_Item")


class Page(Answer, Generic[_Item]):
    """One page of a list; a cursor leads to the next."""

    items: tuple[_Item, ...]
    next_cursor: str | None = None


class Source(Answer):
    """The upload. Sizes in bytes and pixels; None until known."""

    bucket: str = ""
    key: str = ""
    etag: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None


class Output(Answer):
    """One object that the job wrote. Sizes in bytes and pixels."""

    role: str = "main"
    bucket: str = ""
    key: str
    sha256: str
    bytes: int
    width: int
    height: int
    format: str


class Options(Answer):
    """What was asked for, what holds, and where each value came from."""

    requested: Mapping[str, Any] = {}
    effective: Mapping[str, Any] = {}
    origin: Mapping[str, str] = {}


class Progress(Answer):
    """How far the present attempt is, in percent from 0 to 100."""

    percent: float = 0.0
    stage: str | None = None


class Queue(Answer):
    """What stands before a waiting job; None where the service cannot say."""

    lane: str | None = None
    position: int | None = None
    capped: bool = False
    eta_seconds: float | None = None
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None

    @property
    def place(self) -> str:
        """How many stand before it, in words; empty where it is next or nobody knows."""
        return f"{self.position}{' or more' if self.capped else ''} ahead" if self.position else ""


class Failure(Answer):
    """Why a job failed and what to do."""

    code: str
    detail: str = ""
    hint: str = ""
    retryable: bool = False


class Job(Answer):
    """One request. Times are aware UTC."""

    id: str
    status: str
    status_reason: str | None = None
    operation: str = "upscale"
    run: int = 1
    attempt: int = 0
    rev: int = 0
    created_at: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    source: Source = Source()
    options: Options = Options()
    progress: Progress | None = None
    queue: Queue | None = None
    outputs: tuple[Output, ...] = ()
    quality: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    error: Failure | None = None
    ephemeral: bool = False
    metadata: Mapping[str, Any] = {}

    @property
    def terminal(self) -> bool:
        """This run is over."""
        return self.status in TERMINAL

    def raise_for_status(self) -> "Job":
        """Return the job if it succeeded.

        Raises:
            EnlargerError: With the code, detail and hint of a job that failed; `job_canceled` or `job_expired`
                for one that ended otherwise; `job_not_finished` for one that has not ended.
        """
        if self.status == "succeeded":
            return self
        if self.error is not None:
            raise EnlargerError(self.error.detail, code=self.error.code, hint=self.error.hint)
        code = f"job_{self.status}" if self.terminal else "job_not_finished"
        detail, hint = _ENDINGS.get(self.status_reason or "", (self.status_reason or f"The job is {self.status}", ""))
        raise EnlargerError(detail, code=code, hint=hint)


class SignedPut(Answer):
    """Where to PUT a file, with headers that are part of the signature."""

    url: str
    headers: Mapping[str, str] = {}


class Upload(Answer):
    """An announced job and where its file goes."""

    job: Job
    put: SignedPut


class Metrics(Answer):
    """What a finished run measured. Times in seconds, sizes in bytes and pixels."""

    job_id: str
    engine: str | None = None
    precision: str | None = None
    model: str | None = None
    plan: Mapping[str, Any] | None = None
    stages_seconds: Mapping[str, float] = {}
    input: Mapping[str, Any] | None = None
    output: Mapping[str, Any] | None = None
    fidelity: Mapping[str, Any] | None = None


class Model(Answer):
    """One model that jobs can name; of one that is not available, `reason` says why and `remedy` what to do."""

    name: str
    scales: tuple[float, ...] = ()
    architecture: str | None = None
    licence: str | None = None
    source: str | None = None
    available: bool = True
    denoises: bool = False
    reason: str | None = None
    remedy: str | None = None


class ModelList(Answer):
    """Every model that the service knows."""

    items: tuple[Model, ...]


class ModelDetail(Model):
    """One model; `options_schema` is the JSON Schema of the options of a job that names it."""

    options_schema: Mapping[str, Any] = {}


class Preset(Answer):
    """A name, and the options it stands for."""

    name: str
    options: Mapping[str, Any] = {}


class PresetList(Answer):
    """Every preset; `options_schema` is the JSON Schema of all options."""

    items: tuple[Preset, ...]
    options_schema: Mapping[str, Any] = {}


class EstimatedOutput(Answer):
    """One object that a job would write; pixels are None where only decoding the picture tells them."""

    role: str = "main"
    format: str = ""
    width: int | None = None
    height: int | None = None


class Estimate(Answer):
    """What a job would be: its options with their origin, its outputs, and when it would end."""

    source: Source
    options: Options
    outputs: tuple[EstimatedOutput, ...]
    queue: Queue | None = None
    status_reason: str | None = None
    limits: Mapping[str, Any] = {}


class Link(Answer):
    """Whoever has *url* can fetch the file, until *expires_at*."""

    url: str
    expires_at: datetime


class Why(Answer):
    """What a job waits for, or how it ended, and what to do."""

    job_id: str
    status: str
    status_reason: str | None = None
    detail: str = ""
    hint: str = ""
    queue: Queue | None = None
