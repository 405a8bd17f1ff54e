"""One job's pixels, with a codec of two lines and a real kernel: what is reported, measured and refused."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from pipeline.adapters.memory import MemoryObjects
from pipeline.errors import PipelineError
from pipeline.job import Job, JobOptions
from processors.device import Device
from processors.engines.kernels import Kernel
from processors.enlarge import Stopped
from processors.picture import Picture
from processors.sandbox import Limits, Sandbox
from processors.stopwatch import STAGES, Stopwatch
from processors.upscale import Result, Upscaler
from tests.making import EFFECTIVE, a_job

pytestmark = pytest.mark.anyio

WIDTH, HEIGHT = 8, 6
RAMP = np.arange(WIDTH * HEIGHT * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
ALPHA = np.full((HEIGHT, WIDTH), 200, np.uint8)


@dataclass(slots=True)
class Codec:
    """In place of the sandbox: decodes everything to one picture, and encodes to its raw bytes."""

    picture: Picture = field(default_factory=lambda: Picture(pixels=RAMP, alpha=ALPHA, icc=b"icc", format="png"))
    encoded: list[tuple[Picture, dict[str, Any]]] = field(default_factory=list)

    async def decode(self, data: bytes, *, limits: Limits) -> Picture:
        assert limits.max_pixels == 1000
        return self.picture

    async def encode(self, picture: Picture, **options: Any) -> bytes:
        self.encoded.append((picture, options))
        return picture.pixels.tobytes()


class Studio:
    """An upscaler, what it has opened, and what it told."""

    def __init__(self) -> None:
        self.codec, self.objects = Codec(), MemoryObjects()
        self.opened: list[tuple[str, str]] = []
        self.told: list[tuple[str, int, int]] = []
        self.watch = Stopwatch(queue_seconds=1.5)
        self.device = Device(self.open)
        self.upscaler = Upscaler(self.objects, cast("Sandbox", self.codec), self.device, Limits(max_pixels=1000))

    def open(self, model: str) -> Kernel:
        self.opened.append((model, threading.current_thread().name))
        return Kernel("lanczos")

    async def job(self, **effective: Any) -> Job:
        etag = await self.objects.put("uploads", "a.png", b"a file", content_type="image/png")
        job = a_job(options=JobOptions(effective=EFFECTIVE | {"scale": 2} | effective), attempt=1)
        return job.model_copy(update={"source": job.source.model_copy(update={"etag": etag})})

    async def run(self, job: Job, should_stop: Callable[[], bool] = lambda: False) -> Result:
        return await self.upscaler.run(
            job, self.watch, on_stage=lambda *said: self.told.append(said), should_stop=should_stop
        )


@pytest.fixture
def studio() -> Any:
    made = Studio()
    yield made
    made.device.close()


async def test_the_result_is_the_encoded_picture_at_its_new_size(studio: Studio) -> None:
    result = await studio.run(await studio.job(format="webp", quality=80, lossless=True))
    ((large, options),) = studio.codec.encoded
    assert (result.width, result.height, result.body) == (16, 12, large.pixels.tobytes())
    assert options == {"format": "webp", "quality": 80, "lossless": True}
    assert result.verdict.verdict == "pass"


async def test_transparency_and_profile_come_along(studio: Studio) -> None:
    await studio.run(await studio.job())
    ((large, _),) = studio.codec.encoded
    assert large.alpha is not None
    assert (large.alpha.shape, large.icc) == ((12, 16), b"icc")
    assert (large.alpha == 200).all()


async def test_the_metric_document_has_every_promised_field(studio: Studio) -> None:
    job = await studio.job()
    metrics = (await studio.run(job)).metrics
    figures = {"width", "height", "bytes", "sharpness", "noise_sigma", "contrast"}
    assert {name: set(value) if isinstance(value, dict) else "" for name, value in metrics.items()} == {
        **dict.fromkeys(("job_id", "run", "attempt", "engine", "precision", "model"), ""),
        **dict.fromkeys(("device_seconds", "peak_bytes"), ""),
        "plan": {"tile_px", "overlap_px", "tiles"},
        "input": figures,
        "output": figures,
        "fidelity": {"psnr_db", "verdict"},
    }
    assert (metrics["job_id"], metrics["run"], metrics["attempt"]) == (job.id, 1, 1)
    assert (metrics["model"], metrics["plan"]["tiles"]) == ("lanczos", 1)
    assert (metrics["input"]["bytes"], metrics["output"]["bytes"]) == (len(b"a file"), 16 * 12 * 3)
    assert metrics["peak_bytes"] > 1_000_000


async def test_every_stage_is_timed_and_the_slow_ones_are_told(studio: Studio) -> None:
    await studio.run(await studio.job())
    assert list(studio.watch.seconds) == list(STAGES)
    assert studio.watch.seconds["queue"] == 1.5
    assert all(studio.watch.seconds[stage] > 0 for stage in ("get", "decode", "device", "gate", "encode"))
    assert studio.told == [("get", 0, 0), ("device", 0, 0), ("device", 1, 1), ("encode", 1, 1)]


async def test_a_model_is_opened_once_and_on_the_device_s_own_thread(studio: Studio) -> None:
    job = await studio.job()
    await studio.run(job)
    await studio.run(job)
    ((model, thread),) = studio.opened
    assert (model, thread.startswith("device")) == ("lanczos", True)


async def test_work_that_is_told_to_stop_encodes_nothing(studio: Studio) -> None:
    with pytest.raises(Stopped):
        await studio.run(await studio.job(), should_stop=lambda: True)
    assert studio.codec.encoded == []


async def test_an_upload_that_was_deleted_or_replaced_is_said_to_be(studio: Studio) -> None:
    job = await studio.job()
    await studio.objects.put("uploads", "a.png", b"another file", content_type="image/png")
    with pytest.raises(PipelineError) as changed:
        await studio.run(job)
    await studio.objects.delete("uploads", "a.png")
    with pytest.raises(PipelineError) as missing:
        await studio.run(job)
    assert (changed.value.code, missing.value.code) == ("object_changed", "object_missing")


async def test_a_picture_that_lost_its_likeness_fails_the_gate_and_is_kept(studio: Studio) -> None:
    """The verdict is information; the owner decides."""

    class Negative(Kernel):
        def resize(self, pixels: Any, size: Any) -> Any:
            return 255 - super().resize(pixels, size)

    studio.device._open_engine = lambda _: Negative("lanczos")
    result = await studio.run(await studio.job())
    assert (result.verdict.verdict, result.metrics["fidelity"]["verdict"]) == ("fail", "fail")
    assert result.body


def test_a_stage_that_breaks_is_timed_too() -> None:
    watch = Stopwatch(queue_seconds=0)
    with pytest.raises(KeyError), watch("decode"):
        raise KeyError
    assert watch.seconds["decode"] > 0
