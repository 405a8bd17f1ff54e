"""Everything between the bytes of an upload and the bytes of its output, on this machine, without servers."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.job import Job, JobOptions, Source
from pipeline.layers import resolve
from pipeline.options import Options
from pipeline.ports.objects import ObjectInfo
from processors.budget import PixelBudget
from processors.device import Device
from processors.engines import open_engine, variants
from processors.result import Result
from processors.sandbox import Limits, Sandbox
from processors.stopwatch import Stopwatch
from processors.upscale import Equipment, Upscaler
from tests.making import a_job


class DistantObjects(MemoryObjects):
    """An object store that answers after a while, as one in the network does."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def read(self, *args: Any, **options: Any) -> tuple[ObjectInfo, bytes]:
        """See `ObjectStore.read`."""
        await asyncio.sleep(self.seconds)
        return await super().read(*args, **options)

    async def put(self, *args: Any, **options: Any) -> str:
        """See `ObjectStore.put`."""
        await asyncio.sleep(self.seconds)
        return await super().put(*args, **options)

    async def take(self, body: memoryview) -> None:
        """Receive *body* as a `put` does that costs this process nothing but its digest."""
        await asyncio.to_thread(hashlib.sha256, body)
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Studio:
    """An upscaler and what it works with."""

    objects: DistantObjects
    device: Device
    upscaler: Upscaler

    async def upload(self, key: str, body: bytes, **options: Any) -> Job:
        """A job for *body*, claimed."""
        etag = await self.objects.put("uploads", key, body, content_type="image/png")
        effective = resolve([("request", Options(**options))], source_format="png").effective
        source = Source(bucket="uploads", key=key, etag=etag)
        return a_job(key=key, options=JobOptions(effective=effective)).model_copy(update={"source": source})

    async def run(self, job: Job) -> tuple[Result, Mapping[str, float]]:
        """Make and send the output of *job*; also the seconds of each stage."""
        watch = Stopwatch(queue_seconds=0)
        result = await self.upscaler.run(job, watch, on_stage=lambda *_: None, should_stop=lambda: False)
        with watch("put"):
            await self.objects.take(result.outputs[0].body)
        return result, watch.seconds


@contextmanager
def studio(cache: Path, *, lanes: int, seconds: float = 0.0, max_pixels: int = 50_000_000) -> Iterator[Studio]:
    """A studio whose object store is *seconds* away."""
    sandbox = Sandbox(slots=2 * lanes)
    sandbox.start()
    places: dict[str, Any] = {"device": "auto", "models_dir": cache, "cache_dir": cache}
    device = Device(lambda spec: open_engine(spec.model, spec.variant, denoise=spec.denoise, **places))
    equipment = Equipment(
        device, lambda fast: variants("auto", fast=fast), denoises=lambda _: False, budget=PixelBudget(1 << 28)
    )
    objects = DistantObjects(seconds)
    try:
        yield Studio(objects, device, Upscaler(objects, sandbox, equipment, Limits(max_pixels=max_pixels)))
    finally:
        device.close()
        sandbox.close()
