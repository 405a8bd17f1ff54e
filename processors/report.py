"""What a worker tells of itself: its engine, how fast it is, and the models it can run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from processors.engines import Probe
from processors.engines.spandrel_modules import examine
from processors.models.community import examine_dropped
from processors.models.registry import Model, models
from processors.models.weights import has_spandrel, is_here

REPORT_EVERY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one process; *process* is told apart from all before it, whose *name* may have been the same."""

    name: str
    process: str
    started_at: datetime
    probe: Probe
    models: Sequence[Mapping[str, Any]]

    def document(self, now: datetime) -> dict[str, Any]:
        """As stored and as `enlarger doctor` shows it."""
        return {
            "process": self.process,
            "engine": self.probe.engine,
            "precision": self.probe.precision,
            "probe": asdict(self.probe),
            "models": list(self.models),
            "started_at": self.started_at,
            "every_seconds": REPORT_EVERY_SECONDS,
            "seen_at": now,
        }


def model_rows(models_dir: Path) -> list[dict[str, Any]]:
    """Every model that a job may name, and whether it can run here. Converts what was dropped into the folder first."""
    examine_dropped(models_dir, examine=examine)
    return [_row(model, available=is_here(model, models_dir)) for model in models(models_dir).values()]


def _row(model: Model, *, available: bool) -> dict[str, Any]:
    reason, remedy = (None, None) if available else _trouble(model)
    return {
        "name": model.name,
        "summary": model.summary,
        "scales": list(model.scales),
        "architecture": model.architecture,
        "denoises": model.denoises,
        "licence": model.licence,
        "source": model.file or (model.release and model.release.source),
        "available": available,
        "reason": reason,
        "remedy": remedy,
    }


def _trouble(model: Model) -> tuple[str, str]:
    """Why *model* cannot be used here, and what mends it."""
    again = "start the worker again"
    reason = model.reason or ("it needs the spandrel extra (spandrel and torch)" if model.module else "")
    if "spandrel extra" in reason and not has_spandrel():
        return reason, f"pip install --no-deps --require-hashes -r requirements/spandrel.txt; then {again}"
    if model.reason:
        return model.reason, f"mend {model.file}, or take it out of the model folder; then {again}"
    if model.file:
        return "what was converted of its file is gone", f"python -m processors models ls; then {again}"
    return "its weights are not here", f"python -m processors models pull {model.name}; then {again}"
