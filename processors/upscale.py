"""One job's pixels: get, decode, device, gate, encode. Stores nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import PipelineError
from pipeline.job import Job, Verdict
from pipeline.options import Effective
from pipeline.ports import ObjectMissingError, ObjectStore, PreconditionError
from processors.device import Device, Enlarged
from processors.picture import Picture
from processors.quality import KERNEL_FLOOR_DB, NETWORK_FLOOR_DB, Fidelity, Figures, fidelity, measure
from processors.sandbox import Limits, Sandbox
from processors.stopwatch import Stopwatch

OnStage = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Result:
    """An encoded output, what is known of it, and all of its metric document but the last stage."""

    body: bytes
    width: int
    height: int
    verdict: Verdict
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Upscaler:
    """Carries out the operation `upscale`."""

    objects: ObjectStore
    sandbox: Sandbox
    device: Device
    limits: Limits

    async def run(self, job: Job, watch: Stopwatch, *, on_stage: OnStage, should_stop: Callable[[], bool]) -> Result:
        """Make the output of *job*.

        Args:
            job: Claimed by us.
            watch: Collects the time of each stage.
            on_stage: Called with (stage, tiles done, tiles in all), also from the device's thread.
            should_stop: Asked before each tile.

        Raises:
            Stopped: *should_stop* said so.
            PipelineError: Something that the user can be told.
        """
        effective = Effective.model_validate(job.options.effective)
        on_stage("get", 0, 0)
        with watch("get"):
            data = await self._get(job)
        with watch("decode"):
            picture = await self.sandbox.decode(data, limits=self.limits)
        on_stage("device", 0, 0)
        with watch("device"):
            large = await self.device.enlarge(
                picture,
                model=effective.model,
                scale=effective.scale,
                on_tile=lambda done, total: on_stage("device", done, total),
                should_stop=should_stop,
            )
        with watch("gate"):
            before, after, close = await asyncio.to_thread(_judge, picture, large)
        on_stage("encode", 1, 1)
        with watch("encode"):
            body = await self.sandbox.encode(
                large.picture, format=effective.format, quality=effective.quality, lossless=effective.lossless
            )
        metrics = _metrics(job, effective, large) | {
            "input": _side(picture, len(data), before),
            "output": _side(large.picture, len(body), after),
            "fidelity": asdict(close),
        }
        size = large.picture.width, large.picture.height
        return Result(body, *size, Verdict(verdict=close.verdict), metrics)

    async def _get(self, job: Job) -> bytes:
        source = job.source
        try:
            return (await self.objects.read(source.bucket, source.key, if_match=source.etag))[1]
        except (ObjectMissingError, PreconditionError) as error:
            raise PipelineError(
                "The upload was deleted or replaced before it could be read.",
                code="object_missing" if isinstance(error, ObjectMissingError) else "object_changed",
                hint="Upload it again; a newer version has a job of its own.",
            ) from error


def _judge(picture: Picture, large: Enlarged) -> tuple[Figures, Figures, Fidelity]:
    floor_db = KERNEL_FLOOR_DB if large.is_kernel else NETWORK_FLOOR_DB
    close = fidelity(picture.pixels, large.picture.pixels, floor_db=floor_db)
    return measure(picture.pixels), measure(large.picture.pixels), close


def _metrics(job: Job, effective: Effective, large: Enlarged) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "run": job.run,
        "attempt": job.attempt,
        "engine": large.engine,
        "precision": large.precision,
        "model": effective.model,
        "plan": {
            "tile_px": large.plan.tile_px,
            "overlap_px": large.plan.overlap_px,
            "tiles": len(large.plan.tiles),
        },
        "device_seconds": large.device_seconds,
        "peak_bytes": large.peak_bytes,
    }


def _side(picture: Picture, size_bytes: int, figures: Figures) -> dict[str, Any]:
    return {"width": picture.width, "height": picture.height, "bytes": size_bytes, **asdict(figures)}
