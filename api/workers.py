"""What live workers say of themselves: who there is, and which models jobs can name."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from api.answers import Model, Worker
from pipeline.errors import PipelineError
from pipeline.ports.documents import WorkerStore

#: A worker that has been silent for longer counts as gone.
ALIVE: Final = timedelta(minutes=2)
#: Between two reports of a worker that does not say it.
EVERY_SECONDS: Final = 30.0
Report = Mapping[str, Any]


async def live_reports(workers: WorkerStore, now: datetime) -> list[dict[str, Any]]:
    """The reports of every worker that is alive at *now*."""
    return await workers.list(now - ALIVE)


def models_of(reports: Iterable[Report]) -> tuple[Model, ...]:
    """The union of what workers know, by name; available once one of them can run it."""
    found: dict[str, Model] = {}
    for model in (Model.model_validate(entry) for report in reports for entry in report.get("models", ())):
        known = found.setdefault(model.name, model)
        if model.available and not known.available:
            found[model.name] = model
    return tuple(found[name] for name in sorted(found))


def workers_of(reports: Iterable[Report], now: datetime) -> tuple[Worker, ...]:
    """Each worker, with the names of its models and the age of its last report at *now*."""
    return tuple(_worker(report, now) for report in reports)


def _worker(report: Report, now: datetime) -> Worker:
    models = [Model.model_validate(entry) for entry in report.get("models", ())]
    age = max(timedelta(), now - report["seen_at"])
    derived = {
        "models": [model.name for model in models],
        "unusable": [model for model in models if not model.available],
        "heartbeat_seconds": round(age.total_seconds(), 1),
        "late": age > 2 * timedelta(seconds=report.get("every_seconds", EVERY_SECONDS)),
    }
    return Worker.model_validate({**report, **derived})


def refuse_unknown_model(name: str | None, reports: Iterable[Report]) -> None:
    """Raise `model_unknown` when workers have reported models and *name* is none of them."""
    known = [model.name for model in models_of(reports)]
    if name is not None and known and name not in known:
        raise PipelineError(f"There is no model {name}.", code="model_unknown", hint=f"Known: {', '.join(known)}.")
