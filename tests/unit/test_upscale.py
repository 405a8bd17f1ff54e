"""One job's pixels, with a codec of two lines and engines that can be told to fail: what is made, tried and refused."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest

from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.errors import PipelineError
from pipeline.job import Job, JobOptions
from processors.budget import PixelBudget
from processors.device import Device, Spec
from processors.engines import Engine, NotFiniteError, Variant
from processors.engines.kernels import Kernel
from processors.enlarge import Stopped
from processors.gate import NUMBERS
from processors.picture import Layout, Picture, Pixels, blank, luma
from processors.result import GateError, Result
from processors.sandbox import Limits, Sandbox
from processors.stopwatch import STAGES, Stopwatch
from processors.upscale import Equipment, Upscaler
from tests.engines import Repeater, black, swapped
from tests.making import EFFECTIVE, a_job
from tests.pictures import photograph

pytestmark = pytest.mark.anyio

WIDTH, HEIGHT = 48, 36
COLOUR = np.ascontiguousarray(photograph(512, 512)[100 : 100 + HEIGHT, 180 : 180 + WIDTH])  # a face
ALPHA = np.full((HEIGHT, WIDTH), 200, np.uint8)
WAYS = (Variant("openvino", "best"), Variant("openvino", "f32"), Variant("torch", "f32"))


@dataclass(slots=True)
class Canvas:
    """In place of a child that encodes: an encoding is the picture's raw bytes."""

    picture: Picture
    options: dict[str, Any]
    rows: list[int] = field(default_factory=list)
    finished: bool = False

    def ready(self, rows: int) -> None:
        self.rows.append(rows)

    async def finish(self) -> memoryview:
        assert self.rows[-1] == self.picture.height
        self.finished = True
        return memoryview(self.picture.pixels.tobytes())


@dataclass(slots=True)
class Codec:
    """In place of the sandbox: decodes everything to one picture."""

    picture: Picture = field(default_factory=lambda: Picture(pixels=COLOUR, alpha=ALPHA, icc=b"icc", format="png"))
    canvases: list[Canvas] = field(default_factory=list)
    policy: str = ""

    async def decode(self, _data: bytes, *, limits: Limits, metadata: str, gray: bool) -> Picture:
        assert limits.max_pixels == 10_000
        self.policy = metadata
        return replace(self.picture, pixels=luma(self.picture.pixels), icc=None) if gray else self.picture

    @asynccontextmanager
    async def encoding(self, layout: Layout, *, icc: bytes | None, exif: bytes, xmp: bytes, **options: Any) -> Any:
        memory = memoryview(bytearray(layout.spans(4096)[-1].stop))
        self.canvases.append(Canvas(blank(layout, memory, icc=icc, exif=exif, xmp=xmp), options))
        yield self.canvases[-1]


class Studio:
    """An upscaler, what it has opened, and what it told."""

    def __init__(self) -> None:
        self.codec, self.objects = Codec(), MemoryObjects()
        self.opened: list[Spec] = []
        self.told: list[tuple[str, float, int]] = []
        self.watch = Stopwatch(queue_seconds=1.5)
        self.engines: dict[Variant, Engine] = {}
        self.device = Device(self.open)
        equipment = Equipment(
            self.device,
            variants=lambda fast: (Variant("openvino", "fast"), *WAYS[1:]) if fast else WAYS,
            denoises=lambda name: name == "mixes",
            budget=PixelBudget(10**6, urgent=10**5, look_seconds=0.001),
        )
        limits = Limits(max_pixels=10_000)
        self.upscaler = Upscaler(self.objects, cast("Sandbox", self.codec), equipment, limits)

    def open(self, spec: Spec) -> Engine | Kernel:
        self.opened.append(spec)
        return Kernel(spec.model) if spec.model == "lanczos" else self.engines[spec.variant]

    async def job(self, **effective: Any) -> Job:
        etag = await self.objects.put("uploads", "a.png", b"a file", content_type="image/png")
        job = a_job(options=JobOptions(effective=EFFECTIVE | {"scale": 2, "model": "lanczos"} | effective), attempt=1)
        return job.model_copy(update={"source": job.source.model_copy(update={"etag": etag})})

    async def run(self, job: Job, should_stop: Callable[[], bool] = lambda: False) -> Result:
        return await self.upscaler.run(
            job, self.watch, on_stage=lambda *said: self.told.append(said), should_stop=should_stop
        )


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    made = Studio()
    yield made
    made.device.close()


async def test_the_result_is_the_encoded_picture_at_its_new_size(studio: Studio) -> None:
    result = await studio.run(await studio.job(format="webp", quality=80, lossless=True, metadata="copyright"))
    (canvas,), (made,) = studio.codec.canvases, result.outputs
    assert (made.width, made.height, made.format, made.role) == (96, 72, "webp", "main")
    assert bytes(made.body) == canvas.picture.pixels.tobytes()
    assert canvas.options == {"format": "webp", "quality": 80, "lossless": True, "keep": False}
    assert studio.codec.policy == "copyright"
    assert result.verdict.verdict == "pass"


async def test_transparency_profile_and_metadata_come_along(studio: Studio) -> None:
    studio.codec.picture = Picture(pixels=COLOUR, alpha=ALPHA, icc=b"icc", format="png", exif=b"exif", xmp=b"xmp")
    await studio.run(await studio.job())
    large = studio.codec.canvases[0].picture
    assert large.alpha is not None
    assert (large.alpha.shape, large.icc, large.exif, large.xmp) == ((72, 96), b"icc", b"exif", b"xmp")
    assert (large.alpha == 200).all()


async def test_the_metric_document_has_every_promised_field(studio: Studio) -> None:
    job = await studio.job()
    metrics = (await studio.run(job)).metrics
    figures = {"width", "height", "bytes", "sharpness", "noise_sigma", "contrast"}
    measured = {*NUMBERS, "verdict", "failed"}
    assert {name: set(value) if isinstance(value, dict) else "" for name, value in metrics.items()} == {
        **dict.fromkeys(("job_id", "run", "attempt", "engine", "precision", "model"), ""),
        **dict.fromkeys(("device_seconds", "peak_bytes", "refused"), ""),
        "plan": {"tile_px", "overlap_px", "tiles"},
        "input": figures,
        "output": figures,
        "fidelity": measured,
    }
    assert (metrics["job_id"], metrics["run"], metrics["attempt"]) == (job.id, 1, 1)
    assert (metrics["model"], metrics["plan"]["tiles"]) == ("lanczos", 1)
    assert (metrics["input"]["bytes"], metrics["output"]["bytes"]) == (len(b"a file"), 96 * 72 * 3)
    assert metrics["peak_bytes"] > 1_000_000


async def test_an_ephemeral_job_whose_size_was_not_known_before_makes_no_more_than_it_may(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ephemeral.MAX_PIXELS", 96 * 72 - 1)
    job = await studio.job()
    assert (await studio.run(job)).outputs[0].width == 96
    with pytest.raises(PipelineError, match="an ephemeral job makes 6911 at most"):
        await studio.run(job.model_copy(update={"ephemeral": True}))


async def test_every_stage_is_timed_and_the_slow_ones_are_told(studio: Studio) -> None:
    await studio.run(await studio.job())
    assert list(studio.watch.seconds) == list(STAGES)
    assert studio.watch.seconds["queue"] == 1.5
    assert all(studio.watch.seconds[stage] > 0 for stage in ("get", "decode", "device", "gate", "encode"))
    assert studio.told == [("get", 0, 0), ("device", 0, 0), ("device", 1, 1), ("encode", 1, 1)]


async def test_work_that_is_told_to_stop_encodes_nothing(studio: Studio) -> None:
    with pytest.raises(Stopped):
        await studio.run(await studio.job(), should_stop=lambda: True)
    assert [canvas.finished for canvas in studio.codec.canvases] == [False]


async def test_work_that_is_told_to_stop_waits_for_no_room(studio: Studio) -> None:
    bulk = (await studio.job()).model_copy(update={"lane": "bulk"})
    async with asyncio.timeout(5), studio.upscaler.equipment.budget.taken(10**6):
        with pytest.raises(Stopped):
            await studio.run(bulk, should_stop=lambda: True)
    assert studio.codec.canvases == []


async def test_an_upload_that_was_deleted_or_replaced_is_said_to_be(studio: Studio) -> None:
    job = await studio.job()
    await studio.objects.put("uploads", "a.png", b"another file", content_type="image/png")
    with pytest.raises(PipelineError) as changed:
        await studio.run(job)
    await studio.objects.delete("uploads", "a.png")
    with pytest.raises(PipelineError) as missing:
        await studio.run(job)
    assert (changed.value.code, missing.value.code) == ("object_changed", "object_missing")


async def test_a_damaged_result_is_made_again_in_f32_and_then_by_another_engine(studio: Studio) -> None:
    studio.engines = {
        WAYS[0]: Repeater(damage=black, precision="bf16"),
        WAYS[1]: Repeater(damage=swapped),
        WAYS[2]: Repeater(name="other"),
    }
    result = await studio.run(await studio.job(model="network"))
    assert [spec.variant for spec in studio.opened] == list(WAYS)
    assert [canvas.finished for canvas in studio.codec.canvases] == [False, False, True]
    assert (result.metrics["engine"], result.verdict.verdict) == ("other", "pass")
    assert [one["precision"] for one in result.metrics["refused"]] == ["bf16", "f32"]


async def test_transparency_that_is_not_its_sources_is_damage(studio: Studio) -> None:
    """The network sees alpha as a gray picture: this one draws colours well, and no mask."""

    def black_where_gray(pixels: Pixels) -> Pixels:
        return pixels if np.ptp(pixels, axis=-1).any() else np.zeros_like(pixels)

    fading = np.broadcast_to(np.linspace(1, 254, WIDTH).astype(np.uint8), ALPHA.shape)
    studio.codec.picture = Picture(pixels=COLOUR, alpha=fading, icc=None, format="png")
    studio.engines = {way: Repeater(damage=black_where_gray) for way in WAYS}
    with pytest.raises(GateError) as caught:
        await studio.run(await studio.job(model="network"))
    assert caught.value.verdict.failed == ("alpha_constant",)


async def test_an_interactive_job_waits_for_no_large_one(studio: Studio) -> None:
    async with asyncio.timeout(10), studio.upscaler.equipment.budget.taken(10**9):
        assert (await studio.run(await studio.job())).outputs


async def test_two_names_of_one_way_are_tried_once(studio: Studio) -> None:
    studio.engines = {WAYS[0]: Repeater(damage=black), WAYS[1]: Repeater(damage=black), WAYS[2]: Repeater(name="other")}
    result = await studio.run(await studio.job(model="network"))
    assert [one["engine"] for one in result.metrics["refused"]] == ["null"]


def no_numbers(_pixels: Pixels) -> Pixels:
    raise NotFiniteError("network")


async def test_an_engine_whose_values_are_no_numbers_leaves_it_to_another(studio: Studio) -> None:
    studio.engines = {WAYS[0]: Repeater(damage=no_numbers, precision="bf16"), WAYS[1]: Repeater()}
    assert (await studio.run(await studio.job(model="network"))).metrics["precision"] == "f32"


async def test_a_picture_that_no_engine_has_numbers_for_fails(studio: Studio) -> None:
    studio.engines = {way: Repeater(damage=no_numbers) for way in WAYS}
    with pytest.raises(NotFiniteError):
        await studio.run(await studio.job(model="network"))


async def test_a_picture_that_no_engine_gets_right_fails_with_what_was_measured(studio: Studio) -> None:
    studio.engines = {way: Repeater(damage=black) for way in WAYS}
    with pytest.raises(GateError) as caught:
        await studio.run(await studio.job(model="network"))
    assert (caught.value.code, caught.value.verdict.verdict) == ("quality_gate_failed", "fail")
    assert caught.value.verdict.failed
    metrics = caught.value.metrics
    assert metrics["fidelity"]["failed"] == caught.value.verdict.failed
    assert (metrics["output"]["width"], metrics["output"]["bytes"]) == (96, 0)
    assert metrics["engine"] == "null"
    assert not any(canvas.finished for canvas in studio.codec.canvases)


async def test_a_kernel_that_is_wrong_is_not_tried_twice(studio: Studio) -> None:
    class Negative(Kernel):
        def resize(self, pixels: Any, size: Any) -> Any:
            return 255 - super().resize(pixels, size)

    studio.device._open_engine = lambda _: Negative("lanczos")
    with pytest.raises(GateError):
        await studio.run(await studio.job())
    assert len(studio.codec.canvases) == 1


async def test_sixteen_bits_are_only_ever_computed_in_f32(studio: Studio) -> None:
    deep = Picture(pixels=COLOUR.astype(np.uint16) * 257, alpha=None, icc=None, format="tiff", bits=16)
    studio.codec.picture, studio.engines = deep, {WAYS[1]: Repeater()}
    result = await studio.run(await studio.job(model="network", format="png"))
    assert [spec.variant.precision for spec in studio.opened] == ["f32"]
    assert studio.codec.canvases[0].picture.depth == 16
    assert result.notes == ()


async def test_fast_is_asked_for_only_by_who_wants_it(studio: Studio) -> None:
    studio.engines = {Variant("openvino", "fast"): Repeater()}
    await studio.run(await studio.job(model="network", precision="fast"))
    assert [spec.variant.precision for spec in studio.opened] == ["fast"]


@pytest.mark.parametrize(("precision", "notes"), [("int8", ()), ("bf16", ("fast_unavailable",))])
async def test_fast_that_makes_no_difference_is_noted(studio: Studio, precision: str, notes: tuple[str, ...]) -> None:
    studio.engines = {Variant("openvino", "fast"): Repeater(precision=precision), WAYS[0]: Repeater(precision="bf16")}
    assert (await studio.run(await studio.job(model="network", precision="fast"))).notes == notes
    assert (await studio.run(await studio.job(model="network"))).notes == ()


async def test_what_was_asked_for_and_is_not_in_the_output_is_noted(studio: Studio) -> None:
    studio.codec.picture = Picture(
        pixels=COLOUR.astype(np.uint16), alpha=None, icc=None, format="tiff", bits=16, notes=("first_frame_only",)
    )
    result = await studio.run(await studio.job(format="webp", face=60))
    assert result.notes == ("first_frame_only", "depth_reduced", "face_unavailable")


async def test_noise_is_taken_out_by_the_model_that_can_and_before_any_other(studio: Studio) -> None:
    seen: list[np.ndarray[Any, Any]] = []

    class Seeing(Repeater):
        def submit(self, tiles: Any) -> None:
            seen.append(tiles[0])
            super().submit(tiles)

    studio.engines = {WAYS[0]: Seeing()}
    noise = np.random.default_rng(0).normal(0, 10, COLOUR.shape)
    studio.codec.picture = Picture(
        pixels=np.clip(COLOUR + noise, 0, 255).astype(np.uint8), alpha=None, icc=None, format="png"
    )
    for model in ("mixes", "network"):
        await studio.run(await studio.job(model=model, denoise=100))
    assert [spec.denoise for spec in studio.opened] == [100, None]
    assert np.array_equal(seen[0], studio.codec.picture.pixels)
    assert np.abs(seen[1].astype(float) - COLOUR).mean() < 0.7 * np.abs(seen[0].astype(float) - COLOUR).mean()


async def test_a_smaller_output_needs_no_model(studio: Studio) -> None:
    result = await studio.run(await studio.job(scale=None, width=20, model="network"))
    (made,) = result.outputs
    assert (made.width, made.height, studio.opened) == (20, 15, [])
    assert result.verdict.verdict == "pass"


async def test_several_outputs_come_from_one_inference(studio: Studio) -> None:
    engine = Repeater()
    studio.engines = {WAYS[0]: engine}
    extra = {"format": "jpeg", "quality": 70, "lossless": False, "width": 48}
    result = await studio.run(await studio.job(model="network", outputs=[extra, extra | {"format": "webp"}]))
    assert [(made.role, made.format, made.width, made.height) for made in result.outputs] == [
        ("main", "png", 96, 72),
        ("extra", "jpeg", 48, 36),
        ("extra", "webp", 48, 36),
    ]
    assert len(engine.shapes) == 1
    main, second, _ = studio.codec.canvases
    assert (main.options["keep"], second.options["quality"]) == (True, 70)
    assert np.abs(second.picture.pixels.astype(int) - COLOUR).max() <= 1  # averaged back from repeated pixels


async def test_gray_is_made_of_colour_when_asked(studio: Studio) -> None:
    await studio.run(await studio.job(gray=True))
    large = studio.codec.canvases[0].picture
    assert (large.pixels.shape[2], large.icc) == (1, None)


async def test_the_device_thread_is_not_the_loop_s(studio: Studio) -> None:
    threads: list[str] = []

    class Named(Repeater):
        def submit(self, tiles: Any) -> None:
            threads.append(threading.current_thread().name)
            super().submit(tiles)

    studio.engines = {WAYS[0]: Named()}
    await studio.run(await studio.job(model="network"))
    assert threads == ["device"]


def test_a_stage_that_breaks_is_timed_too() -> None:
    watch = Stopwatch(queue_seconds=0)
    with pytest.raises(KeyError), watch("decode"):
        raise KeyError
    assert watch.seconds["decode"] > 0
