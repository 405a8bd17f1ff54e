"""What a worker tells of itself: its engine, how fast it is, and the models it can run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from processors.engines import Probe
from processors.models.registry import Model, models
from processors.models.weights import available_models

REPORT_EVERY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one process."""

    name: str
    started_at: datetime
    probe: Probe
    models: Sequence[Mapping[str, Any]]

    def document(self, now: datetime) -> dict[str, Any]:
        """As stored and as `enlarger doctor` shows it."""
        return {
            "engine": self.probe.engine,
            "precision": self.probe.precision,
            "probe": asdict(self.probe),
            "models": list(self.models),
            "started_at": self.started_at,
            "seen_at": now,
        }


def model_rows(models_dir: Path) -> list[dict[str, Any]]:
    """Every model of the registry, and whether its weights are on this machine."""
    here = set(available_models(models_dir))
    return [_row(model, available=model.name in here) for model in models().values()]


def _row(model: Model, *, available: bool) -> dict[str, Any]:
    return {
        "name": model.name,
        "summary": model.summary,
        "scales": list(model.scales),
        "architecture": "kernel" if model.network is None else model.network.architecture,
        "licence": model.licence,
        "source": None if model.release is None else model.release.source,
        "available": available,
    }
