"""What a worker tells of itself: its engine, how fast it is, and the models it can run."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog

from pipeline.ports import Clock, WorkerStore
from processors.engines import Probe
from processors.models.registry import Model, models
from processors.models.weights import available_models

EVERY_SECONDS: Final = 30.0

log = structlog.get_logger()


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


async def keep_reporting(workers: WorkerStore, report: Report, *, clock: Clock, stop: asyncio.Event) -> None:
    """Say that we are alive at an interval until *stop*."""
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(EVERY_SECONDS):
                await stop.wait()
        try:
            await workers.report(report.name, report.document(clock()))
        except Exception:
            log.exception("report.deferred")
