"""One job's pixels: get, decode, device, gate, encode. Stores nothing."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import structlog

from pipeline.errors import PipelineError
from pipeline.job import Job
from pipeline.options import Effective, ExtraOutput
from pipeline.ports.objects import ObjectMissingError, ObjectStore, PreconditionError
from pipeline.sizes import Size, extra_size, output_sizes
from processors.budget import PixelBudget
from processors.canvas import Encoding
from processors.device import Device, OnStep, Ran, Spec
from processors.engines import Engine, NotFiniteError, Variant
from processors.engines.kernels import Kernel
from processors.enlarge import Steps, joins, resized
from processors.gate import PictureGate, bounds_of
from processors.picture import Layout, Picture, Pixels, part
from processors.render import prepared, render
from processors.result import GateError, Made, Result, Try, metrics, side
from processors.sandbox import Limits, Sandbox
from processors.stopwatch import Stopwatch

OnStage = Callable[[str, float, int], None]

#: Formats that hold 16 bits per sample.
_DEEP: Final = frozenset({"png", "tiff"})
#: The precision of an engine that `fast` got more speed from.
_FAST: Final = "int8"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the pictures of a process share.

    Args:
        device: Runs the engines.
        variants: The ways to run a model here, in the order to try them; true asks for the fast ones first.
        denoises: Whether the model of that name has networks to mix for `denoise`.
        budget: Output pixels in work at once.
    """

    device: Device
    variants: Callable[[bool], Sequence[Variant]]
    denoises: Callable[[str], bool]
    budget: PixelBudget


@dataclass(frozen=True, slots=True)
class Task:
    """One job on its way: what to make of which picture, and whom to tell."""

    source: Picture
    size: Size
    effective: Effective
    watch: Stopwatch
    on_stage: OnStage
    should_stop: Callable[[], bool]
    urgent: bool

    @property
    def interpolates(self) -> bool:
        """The result is no larger than its source: whatever the model, an average makes it."""
        return self.size[0] <= self.source.width and self.size[1] <= self.source.height


@dataclass(frozen=True, slots=True)
class Upscaler:
    """Carries out the operation `upscale`."""

    objects: ObjectStore
    sandbox: Sandbox
    equipment: Equipment
    limits: Limits

    async def run(self, job: Job, watch: Stopwatch, *, on_stage: OnStage, should_stop: Callable[[], bool]) -> Result:
        """Make the outputs of *job*.

        Args:
            job: Claimed by us.
            watch: Collects the time of each stage.
            on_stage: Called with (stage, tiles done, tiles in all), also from other threads.
            should_stop: Asked before each tile and while one is at work, and while the picture waits for its room.

        Raises:
            Stopped: *should_stop* said so.
            PipelineError: Something that the user can be told.
        """
        effective = Effective.model_validate(job.options.effective)
        on_stage("get", 0, 0)
        with watch("get"):
            data = await self._get(job)
        with watch("decode"):
            picture = await self.sandbox.decode(
                data, limits=self.limits, metadata=effective.metadata, gray=effective.gray
            )
        size, *_ = output_sizes(picture.width, picture.height, effective, ephemeral=job.ephemeral)
        picture = part(picture, effective.region)  # the rest of it is free to go
        source = await asyncio.to_thread(prepared, picture, denoise=self._denoise(effective))
        task = Task(source, size, effective, watch, on_stage, should_stop, urgent=job.lane == "interactive")
        async with self.equipment.budget.taken(size[0] * size[1], urgent=task.urgent, should_stop=should_stop):
            tries, outputs = await self._make(task)
        judgement = tries[-1].judgement
        document = metrics(job, effective.model, tries) | {
            "input": side((picture.width, picture.height), len(data), judgement.source),
            "output": side(size, len(outputs[0].body) if outputs else 0, judgement.output),
        }
        if not outputs:
            raise GateError(tries[-1].verdict, document)
        notes = (*picture.notes, *_shortfalls(task, tries[-1].engine))
        return Result(outputs, tries[-1].verdict, notes, document)

    def _denoise(self, effective: Effective) -> int:
        """How much noise to take out before the model sees the picture: none where the model does it itself."""
        return 0 if self.equipment.denoises(effective.model) else effective.denoise or 0

    async def _make(self, task: Task) -> tuple[list[Try], tuple[Made, ...]]:
        """Run engines until the result of one is true; without outputs when that of none is."""
        tries: list[Try] = []
        used: list[Engine | Kernel] = []
        failure: PipelineError | None = None
        for spec in _specs(task, self.equipment):
            engine = await self._open(task, spec)
            if any((one.name, one.precision) == (engine.name, engine.precision) for one in used):
                continue  # two names of one way, which would make the same again
            used.append(engine)
            async with self._canvas(task, task.size, task.effective, keep=bool(task.effective.outputs)) as canvas:
                try:
                    tries.append(await self._try(task, engine, canvas))
                except NotFiniteError as error:
                    log.warning("engine.not_finite", spec=spec)
                    failure = error
                    continue
                if tries[-1].verdict.verdict == "pass":
                    task.on_stage("encode", 1, 1)
                    with task.watch("encode"):
                        return tries, await self._finish(task, canvas)
                log.warning("gate.failed", spec=spec, failed=tries[-1].verdict.failed)
                failure = None
        if failure is not None or not tries:
            raise failure or RuntimeError("no way to run the model")
        return tries, ()

    def _canvas(
        self, task: Task, size: Size, wanted: Effective | ExtraOutput, *, keep: bool
    ) -> AbstractAsyncContextManager[Encoding]:
        """An output of *size* that is encoded while it is being filled."""
        source = task.source
        layout = Layout.of(source).model_copy(update={"width": size[0], "height": size[1], "notes": ()})
        return self.sandbox.encoding(
            layout,
            icc=source.icc,
            exif=source.exif,
            xmp=source.xmp,
            format=wanted.format,
            quality=wanted.quality,
            lossless=wanted.lossless,
            keep=keep,
        )

    async def _open(self, task: Task, spec: Spec) -> Engine | Kernel:
        task.on_stage("device", 0, 0)
        with task.watch("device"):
            return (
                Kernel("lanczos") if task.interpolates else await asyncio.wrap_future(self.equipment.device.open(spec))
            )

    async def _try(self, task: Task, engine: Engine | Kernel, canvas: Encoding) -> Try:
        device, source = self.equipment.device, task.source
        with task.watch("device"):
            gate = PictureGate(source, task.size, joins=_joins(task, engine))
            abandoned = threading.Event()
            steps = Steps(
                partial(_submit, device, urgent=task.urgent),
                on_tile=partial(task.on_stage, "device"),
                should_stop=lambda: abandoned.is_set() or task.should_stop(),
            )

            def show(rows: int) -> None:
                gate.look(canvas.picture, rows)
                canvas.ready(rows)

            try:
                await asyncio.to_thread(
                    render, source, canvas.picture, engine, steps, strength=task.effective.strength, show=show
                )
            except asyncio.CancelledError:
                abandoned.set()  # nobody waits for the thread any more: let it end soon
                raise
        with task.watch("gate"):
            return Try(engine, steps, await asyncio.to_thread(gate.judge, bounds_of(task.effective.model)))

    async def _finish(self, task: Task, canvas: Encoding) -> tuple[Made, ...]:
        main = Made(await canvas.finish(), *task.size, task.effective.format)
        return (main, *[await self._extra(task, canvas.picture, extra) for extra in task.effective.outputs])

    async def _extra(self, task: Task, main: Picture, wanted: ExtraOutput) -> Made:
        """One more output, made of the main one's pixels."""
        size = extra_size(task.size, wanted.width)
        async with self._canvas(task, size, wanted, keep=False) as canvas:
            await asyncio.to_thread(_fill, canvas.picture, main)
            canvas.ready(size[1])
            return Made(await canvas.finish(), *size, wanted.format, role="extra")

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


def _submit(device: Device, engine: Engine, tile: Pixels, on_step: OnStep, *, urgent: bool) -> "Future[Ran]":
    return device.submit(engine, tile, on_step=on_step, urgent=urgent)


def _specs(task: Task, equipment: Equipment) -> list[Spec]:
    """What to try, in this order. Half precision has too few digits for 16 bits."""
    effective = task.effective
    variants = equipment.variants(effective.precision == "fast")
    if task.source.depth == 16:
        variants = [variant for variant in variants if variant.precision == "f32"]
    denoise = effective.denoise if equipment.denoises(effective.model) else None
    specs = [Spec(effective.model, variant, denoise) for variant in variants]
    return specs[:1] if task.interpolates else specs


def _joins(task: Task, engine: Engine | Kernel) -> tuple[list[int], list[int]]:
    if isinstance(engine, Kernel):
        return [], []
    return joins((task.source.width, task.source.height), task.size, engine)


def _shortfalls(task: Task, engine: Engine | Kernel) -> Iterator[str]:
    """What was asked for or was in the file, and is not in the output."""
    effective = task.effective
    if task.source.bits == 16 and effective.format not in _DEEP:
        yield "depth_reduced"
    if effective.face:
        yield "face_unavailable"
    if effective.precision == "fast" and engine.precision != _FAST:
        yield "fast_unavailable"


def _fill(canvas: Picture, main: Picture) -> None:
    size = canvas.width, canvas.height
    canvas.pixels[:] = resized(main.pixels, size)
    if canvas.alpha is not None and main.alpha is not None:
        canvas.alpha[:] = resized(main.alpha[..., np.newaxis], size)[..., 0]
