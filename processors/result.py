"""What became of a job's picture: the outputs, the verdict, and the metric document."""

import resource
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import PipelineError
from pipeline.formats import Written
from pipeline.job import Job, Verdict
from pipeline.sizes import Size
from processors.engines import Engine
from processors.engines.kernels import Kernel
from processors.enlarge import Steps
from processors.gate import Judgement
from processors.quality import Figures


class GateError(PipelineError):
    """No engine of this machine made a true picture; *verdict* and *metrics* are of the last one."""

    def __init__(self, verdict: Verdict, metrics: dict[str, Any]) -> None:
        super().__init__(
            f"The result is not true to the upload: {', '.join(verdict.failed)} out of bounds.",
            code="quality_gate_failed",
            hint="Try another model; tell us of the picture, since this is a fault of ours.",
        )
        self.verdict = verdict
        self.metrics = metrics


@dataclass(frozen=True, slots=True)
class Made:
    """One encoded output, its bytes in memory that is freed with the last reference."""

    body: memoryview
    width: int
    height: int
    format: Written
    role: str = "main"


@dataclass(frozen=True, slots=True)
class Result:
    """The outputs, the main one first, what is known of them, and the metric document but for its last stage."""

    outputs: tuple[Made, ...]
    verdict: Verdict
    notes: tuple[str, ...]
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Try:
    """What one engine made, and what the gate says of it."""

    engine: Engine | Kernel
    steps: Steps
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """As the job keeps it."""
        measured = asdict(self.judgement.fidelity)
        return Verdict.model_validate(measured | {"seam_ratio": measured["seam_ratio"] or None})  # 0 without borders


def metrics(job: Job, model: str, tries: Sequence[Try]) -> dict[str, Any]:
    """The metric document of *job* as far as its engines make it; the last of *tries* is the one that counts."""
    last = tries[-1]
    plan = last.steps.plan
    return {
        "job_id": job.id,
        "run": job.run,
        "attempt": job.attempt,
        "engine": last.engine.name,
        "precision": last.engine.precision,
        "model": model,
        "plan": {"tile_px": plan.tile_px, "overlap_px": plan.overlap_px, "tiles": last.steps.done},
        "device_seconds": sum(one.steps.seconds for one in tries),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,  # Linux counts in KiB
        "fidelity": asdict(last.judgement.fidelity),
        "refused": [{"engine": one.engine.name, "precision": one.engine.precision} for one in tries[:-1]],
    }


def side(size: Size, size_bytes: int, figures: Figures) -> dict[str, Any]:
    """What the metric document says of the input or of the output."""
    return {"width": size[0], "height": size[1], "bytes": size_bytes, **asdict(figures)}
