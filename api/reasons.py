"""Why a job is not done: a stable code, and in plain words what holds it and what to do. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.waiting import Pace
from api.workers import models_of
from pipeline.errors import CODES
from pipeline.job import WORKED_ON, Job, Status
from pipeline.ports.lanes import LaneState, Pause
from pipeline.wire import Queue

#: What happened, and what to do, by the code in `status_reason`; the docs page and the tests read this table.
REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "no_upload_yet": (
        "Its file has not arrived.",
        "Send it to the address that the announcement gave, before {expires}; after that the job expires.",
    ),
    "waiting_for_turn": ("{place}", "Nothing: it is taken when its turn comes. {eta}"),
    "lane_paused": (
        "The lane {lane} is paused until {until}: {because}",
        "Nothing: it goes on by itself then. Whoever runs the service can end the pause: enlarger lanes resume {lane}.",
    ),
    "no_worker": (
        "No worker has reported in the last two minutes.",
        "Whoever runs the service starts one: python -m processors; enlarger doctor tells what it misses.",
    ),
    "model_unavailable": (
        "No live worker can run the model {model}.",
        "enlarger models ls tells why and what mends it; or submit the picture again with another model.",
    ),
    "storage_unavailable": (
        "A server of ours does not answer, or did not at the last try.",
        "Nothing is lost, and no try is used up: it goes on when the server is back. enlarger doctor names it.",
    ),
    "worker_stopped": ("The worker that had it was stopped.", "Nothing: it is taken again within a minute. {eta}"),
    "in_work": ("A worker has had it since {started} (attempt {attempt}).", "Nothing: enlarger jobs show {job}."),
    "worker_silent": (
        "The worker that took it at {started} (attempt {attempt}) is silent.",
        "Nothing: the job is taken again within a minute. After three such attempts it fails with worker_crashed.",
    ),
    "canceled_by_owner": ("You canceled it.", "Submit the picture again if you want it after all."),
    "superseded": ("A newer upload of the same key took over.", "Look at the job of the newer upload."),
    "upload_deleted": ("The upload was deleted.", "Upload the picture again if you want it after all."),
    "no_upload": ("Its file did not arrive in time.", "Announce it again."),
    "deadline": ("It was not done before its deadline.", "Submit it again with a later deadline, or without one."),
}
_RETRY: Final = ("The last attempt (number {attempt}) was given back: {code}.", "Nothing: it is tried again. {eta}")
_ENDED: Final = ("It has ended: {code}.", "Submit the picture again if you want it after all.")
_SUCCEEDED: Final = ("It has succeeded.", "Fetch the result: enlarger jobs fetch {job} -o DIR.")


@dataclass(frozen=True, slots=True)
class Scene:
    """What surrounds the jobs of a lane; no state where the bus does not answer."""

    state: LaneState | None
    pause: Pause | None
    pace: Pace | None
    reports: Sequence[Mapping[str, Any]]


def hindrance(job: Job, scene: Scene) -> str | None:
    """What keeps every worker from a job that nobody holds; None where it only waits for its turn."""
    if scene.state is None:
        return "storage_unavailable"
    if scene.state.paused_until is not None:
        return "lane_paused"
    if not scene.reports:
        return "no_worker"
    models, wanted = models_of(scene.reports), job.options.effective.get("model")
    if wanted and models and not any(model.name == wanted and model.available for model in models):
        return "model_unavailable"
    return None


def idle(job: Job, now: datetime) -> bool:
    """The job is to be worked on, and nobody has it."""
    return job.status in WORKED_ON and not job.leased(now)


def own_reason(job: Job) -> str | None:
    """What a job that is not `idle` itself says of why it stands where it stands."""
    if job.status is Status.AWAITING_UPLOAD:
        return "no_upload_yet"
    return job.status_reason if job.terminal else "in_work"


def reason_of(job: Job, scene: Scene) -> str:
    """What a job that is `idle` waits for; its worker is only silent where another can take it."""
    last = "worker_silent" if job.abandoned else job.status_reason
    return hindrance(job, scene) or last or "waiting_for_turn"


def explain(job: Job, code: str | None, queue: Queue | None, scene: Scene) -> tuple[str, str]:
    """What happened and what to do, a sentence each."""
    if job.error is not None:
        return job.error.detail, job.error.hint
    detail, hint = _texts(job, code, scene)
    paused_until = scene.state.paused_until if scene.state else None
    words = {
        "job": job.id,
        "code": code,
        "attempt": job.attempt,
        "lane": job.lane,
        "model": job.options.effective.get("model"),
        "started": _moment(job.started_at),
        "expires": _moment(job.expires_at),
        "until": _moment(paused_until),
        "because": scene.pause.reason if scene.pause else "nobody noted why.",
        "place": _place(queue),
        "eta": _eta(queue),
    }
    return detail.format_map(words), hint.format_map(words).strip()


def _texts(job: Job, code: str | None, scene: Scene) -> tuple[str, str]:
    if code is None:
        return _SUCCEEDED
    if job.terminal:
        return REASONS.get(code, _ENDED)
    over = code in CODES and code != hindrance(job, scene)  # it met the last try, and holds no longer
    return _RETRY if over else REASONS.get(code, _RETRY)


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%SZ}" if moment else "a time that nobody noted"


def _place(queue: Queue | None) -> str:
    if queue is None or queue.position is None:
        return "It waits for a worker."
    if queue.position == 0:
        return f"It is next in the lane {queue.lane}."
    more = "or more " if queue.capped else ""
    return f"{queue.position} {more}queued before it in the lane {queue.lane}."


def _eta(queue: Queue | None) -> str:
    if queue is None or queue.eta_low_seconds is None:
        return ""
    if queue.eta_seconds is None or queue.eta_high_seconds is None:
        return f"It ends no sooner than in about {_span(queue.eta_low_seconds)}."
    span = f"{_span(queue.eta_low_seconds)} to {_span(queue.eta_high_seconds)}"
    return f"It ends in about {_span(queue.eta_seconds)} ({span}, four times of five)."


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
