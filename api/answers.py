"""What we answer, as models; the job itself is `pipeline.wire.JobOut`."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict

from pipeline.ports import UploadForm, UploadPut
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
    """One model that jobs can name; `available` once some live worker has its weights, else `reason` may say why."""

    name: str
    scales: tuple[float, ...] = ()
    architecture: str | None = None
    licence: str | None = None
    source: str | None = None
    available: bool = True
    denoises: bool = False
    reason: str | None = None


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
    """What one live processor reported of itself."""

    name: str
    engine: str | None = None
    precision: str | None = None
    probe: dict[str, Any] | None = None
    models: tuple[str, ...] = ()
    seen_at: datetime


class DoctorReport(Wire):
    """Whether the service can work, and with what."""

    checks: tuple[Check, ...]
    workers: tuple[Worker, ...]


class Health(Wire):
    """The process, or everything that it needs, works."""

    status: Literal["pass"] = "pass"
