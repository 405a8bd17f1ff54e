"""For each error code that a job can fail with: how it comes about where it is made. Functions are named by codes.

What decodes, enlarges or keeps weights is real; who hands it to the job is the real worker, on stores in memory.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.errors import PipelineError
from pipeline.job import MAX_FAULTS, Job, Status, claim
from pipeline.lease import LEASE_SECONDS
from pipeline.ports.objects import KeyRefusedError
from processors.models.registry import Model, Network
from processors.models.weights import load_weights, save_weights
from processors.sandbox import Limits, Sandbox
from tests.engines import Repeater, black
from tests.making import a_job, sequencer
from tests.unit.test_upscale import WAYS, Studio, no_numbers
from tests.unit.worker_bench import Bench

Fail = Callable[[Path], Awaitable[Job]]
FAILURES: dict[str, Fail] = {}
LIMITS = Limits(max_pixels=1_000_000, wall_seconds=20)
NETWORK = Network(architecture="srvgg", features=6, blocks=3, scale=4)


def fails(function: Fail) -> Fail:
    """Keep *function* under its name, which is the code."""
    FAILURES[function.__name__] = function
    return function


async def ended(work: Awaitable[object], **changes: Any) -> Job:
    """The job that ends because *work* raised."""
    try:
        await work
    except PipelineError as error:
        bench = Bench()
        bench.hands.error = error
        return await settled(bench, a_job(**changes))
    raise AssertionError("it does not fail")


async def settled(bench: Bench, job: Job) -> Job:
    """*job* after all the tries that it has."""
    await bench.add(job)
    for _ in range(MAX_FAULTS):
        await bench.settle(job)
    return bench.job(job)


async def decoded(data: bytes, *, codec: str | None = None, limits: Limits = LIMITS) -> object:
    """Decode in a child of its own."""
    sandbox = Sandbox(slots=1, codec=codec) if codec else Sandbox(slots=1)
    sandbox.start()
    try:
        return await sandbox.decode(data, limits=limits)
    finally:
        sandbox.close()


async def enlarged(**engines: Any) -> object:
    """Enlarge a picture with engines that behave so."""
    studio = Studio()
    studio.engines = {way: Repeater(**engines) for way in WAYS}
    try:
        return await studio.run(await studio.job(model="network"))
    finally:
        studio.device.close()


async def loaded(model: Model, folder: Path) -> object:
    return load_weights(model, folder)


@fails
async def decode_timeout(_folder: Path) -> Job:
    limits = Limits(max_pixels=1, wall_seconds=0.2)
    return await ended(decoded(b"hang", codec="tests.unit.misbehaving_codec", limits=limits))


@fails
async def engine_failed(_folder: Path) -> Job:
    return await ended(enlarged(damage=no_numbers))


@fails
async def gpu_out_of_memory(_folder: Path) -> Job:
    return await ended(enlarged(memory_pixels=100))


@fails
async def image_corrupt(_folder: Path) -> Job:
    return await ended(decoded(b"\x89PNG\r\n\x1a\n" + bytes(64) + b"IEND"))


@fails
async def key_too_long(_folder: Path) -> Job:
    class Short(MemoryObjects):
        async def put(self, bucket: str, key: str, *_args: Any, **_fields: Any) -> str:
            raise KeyRefusedError(key)

    return await settled(Bench(objects=Short()), a_job(key="n" * 300))


@fails
async def model_damaged(folder: Path) -> Job:
    model = Model(name="small", summary="", licence="", scales=(4,), network=NETWORK)
    empty = [np.zeros(shape, np.float32) for shape in NETWORK.parameters().values()]
    save_weights(folder / "small.npz", empty, NETWORK).write_bytes(b"no weights")
    return await ended(loaded(model, folder))


@fails
async def model_unavailable(folder: Path) -> Job:
    """Nobody has pulled its weights."""
    model = Model(name="small", summary="", licence="", scales=(4,), network=NETWORK)
    return await ended(loaded(model, folder))


@fails
async def object_changed(_folder: Path) -> Job:
    """Past the commit point a job cannot be canceled any more, so that it fails."""
    studio = Studio()
    try:
        job = await studio.job()
        await studio.objects.put("uploads", "a.png", b"another file", content_type="image/png")
        return await ended(studio.run(job), status=Status.PUBLISHING, attempt=1, lease_until=Bench().clock.now)
    finally:
        studio.device.close()


@fails
async def output_conflict(_folder: Path) -> Job:
    bench = Bench()
    other = await bench.add(a_job(key="a.png.webp"))
    await bench.objects.put("outputs", "a.png", b"theirs", content_type="", metadata={"up-job": other.id})
    return await settled(bench, a_job())


@fails
async def quality_gate_failed(_folder: Path) -> Job:
    return await ended(enlarged(damage=black))


@fails
async def source_superseded(_folder: Path) -> Job:
    bench = Bench()
    stamps = {"up-job": a_job().id, "up-source-sequencer": sequencer(2)}
    await bench.objects.put("outputs", "a.png", b"newer", content_type="", metadata=stamps)
    return await settled(bench, a_job())


@fails
async def worker_crashed(_folder: Path) -> Job:
    bench, job = Bench(), a_job()
    await bench.add(job)
    for _ in range(MAX_FAULTS):
        assert await bench.jobs.save(claim(bench.job(job), bench.clock(), lease_seconds=LEASE_SECONDS))
        bench.clock.advance(LEASE_SECONDS + 1)  # killed: nobody says anything
    await bench.settle(job)
    return bench.job(job)
