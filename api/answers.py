"""What we answer, as models; the job itself is `pipeline.wire.JobOut`."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from pipeline.ports.objects import UploadForm, UploadPut
from pipeline.wire import JobOut, Wire


class FieldError(Wire):
    """One field of the request that is wrong; the pointer is a JSON pointer as a URI fragment."""

    pointer: str
    detail: str


class Problem(Wire):
    """An error (RFC 9457). `code` is stable; `retryable` says that the same request can succeed later."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str
    retryable: bool
    instance: str
    request_id: str
    errors: tuple[FieldError, ...] = ()
    violated_policies: tuple[str, ...] | None = Field(None, serialization_alias="violated-policies")


class UploadAnswer(Wire):
    """An announced job, and two ways to send its file until `expires_at`."""

    job: JobOut
    form: UploadForm
    put: UploadPut
    expires_at: datetime


class JobPage(Wire):
    """Jobs, newest first."""

    items: tuple[JobOut, ...]
    next_cursor: str | None


class Metrics(Wire):
    """What one run measured: seconds, bytes, pixels, decibels."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    job_id: str
    run: int
    attempt: int
    engine: str
    precision: str | None
    model: str
    plan: dict[str, Any] | None
    stages_seconds: dict[str, float]
    input: dict[str, Any]
    output: dict[str, Any]
    fidelity: dict[str, Any]


class WebhookSecret(Wire):
    """What signs the webhooks of the caller's jobs (Standard Webhooks)."""

    secret: str


class Model(Wire):
    """One model that jobs can name; `available` once some live worker can run it.

    Else `reason` may say why it cannot be used, and `remedy` what to do.
    """

    name: str
    scales: tuple[float, ...] = ()
    architecture: str | None = None
    licence: str | None = None
    source: str | None = None
    available: bool = True
    denoises: bool = False
    reason: str | None = None
    remedy: str | None = None


class ModelList(Wire):
    """Every model that a live worker knows."""

    items: tuple[Model, ...]


class Check(Wire):
    """One thing that must work, tried just now."""

    name: str
    status: Literal["pass", "fail"]
    detail: str
    seconds: float


class Worker(Wire):
    """What one live processor reported of itself.

    Args:
        heartbeat_seconds: How long ago it was heard of last.
        late: That is more than two of its intervals.
        unusable: Those of `models` that it cannot run, with reason and remedy.
    """

    name: str
    engine: str | None = None
    precision: str | None = None
    probe: dict[str, Any] | None = None
    models: tuple[str, ...] = ()
    seen_at: datetime
    heartbeat_seconds: float
    late: bool
    unusable: tuple[Model, ...] = ()


class DoctorReport(Wire):
    """Whether the service can work, and with what."""

    checks: tuple[Check, ...]
    workers: tuple[Worker, ...]


class Health(Wire):
    """The process, or everything that it needs, works."""

    status: Literal["pass"] = "pass"


class PrefixOut(Wire):
    """A preset that holds for all uploads below *prefix*; where that is empty for all jobs of the owner."""

    owner: str
    prefix: str
    preset: str


class PrefixList(Wire):
    """Every preset of a prefix, by owner and prefix."""

    items: tuple[PrefixOut, ...]


class S3Credential(Wire):
    """Whose home an access key opens."""

    access_key: str
    user: str


class S3CredentialList(Wire):
    """Every S3 credential of a home, by user."""

    items: tuple[S3Credential, ...]


class NewS3Credential(Wire):
    """A new S3 credential and what to use it with; its secret is told this once.

    Args:
        access_key: Names it.
        user: Whose home it opens.
        secret_key: Only this answer has it.
        endpoint: Where S3 clients find the object store.
        region: What they sign with.
        uploads: All that may be written, read, listed and deleted.
        outputs: All that may be read, listed and deleted.
    """

    access_key: str
    user: str
    secret_key: str
    endpoint: str
    region: str
    uploads: str
    outputs: str
