"""The processor process: `python -m processors`, and its commands `models ls`, `models pull NAME` and `probe`."""

import argparse
import asyncio
import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Final

from pipeline.adapters import mongo, nats_bus
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.clock import now
from pipeline.consumer import consume, settling
from pipeline.errors import PipelineError
from pipeline.lease import Lease
from pipeline.lifecycle import repeat, serve
from pipeline.logs import configure
from pipeline.outbox import Relay
from pipeline.ports.bus import Bus, Pull
from pipeline.topology import BULK, INTERACTIVE
from processors.budget import PixelBudget
from processors.device import Device, Spec
from processors.engines import DeviceLostError, Engine, open_engine, probe, variants
from processors.engines.kernels import Kernel
from processors.models.pull import pull_model
from processors.models.registry import find_model
from processors.quarantine import GuardedPull, Quarantine, again_seconds
from processors.report import REPORT_EVERY_SECONDS, Report, model_rows
from processors.sandbox import Limits, Sandbox
from processors.settings import Machine, Settings
from processors.upscale import Equipment, Upscaler
from processors.worker import Worker

#: One lane's picture is on the device; the others load, decode, encode and store theirs meanwhile.
LANES: Final = 4
#: Output pixels in work at once, in all lanes: 0.6 GB of 8-bit RGB where a format is not encoded band by band.
BUDGET_PIXELS: Final = 3 << 26
#: As many again for interactive jobs alone, when large ones have the others: another 0.2 GB.
URGENT_PIXELS: Final = 1 << 26
GRACE_SECONDS: Final = 30.0


async def run(settings: Settings, machine: Machine, sandbox: Sandbox, report: Report) -> None:
    """Serve until SIGTERM."""
    url = settings.mongo_url.get_secret_value()
    bus = await nats_bus.connect(settings.nats_url.get_secret_value(), name="processors")
    objects = MinioObjects(Endpoint.parse(settings.minio_url.get_secret_value()))
    client = mongo.connect(url)
    lost, loop = asyncio.Event(), asyncio.get_running_loop()
    lease = Lease(settings.lease_seconds)
    loop.set_default_executor(ThreadPoolExecutor(max_workers=4 * LANES))
    device = Device(
        partial(_open, machine),
        idle_seconds=settings.idle_release_seconds,
        on_lost=partial(loop.call_soon_threadsafe, lost.set),
    )
    try:
        documents = mongo.documents(mongo.database(client, url))
        relay = Relay(documents.jobs, bus)
        upscaler = Upscaler(objects, sandbox, _equipment(machine, device), Limits(max_pixels=settings.max_pixels))
        quarantine = Quarantine(again_seconds(lease))
        worker = Worker(report.process, documents, objects, bus, relay, upscaler, now, lease, quarantine)
        await _serve(worker, report, lost)
    finally:
        device.close()
        await bus.close()
        await objects.close()
        await client.close()


async def _serve(worker: Worker, report: Report, lost: asyncio.Event) -> None:
    bus, documents = worker.bus, worker.documents
    pulls, settle = await lanes(bus, worker.quarantine), settling(worker.handle, bus, lease=worker.lease)
    await serve(
        bus,
        lambda stop: consume(pulls, settle, stop=stop, grace_seconds=GRACE_SECONDS),
        lambda stop: repeat(
            lambda: documents.workers.report(report.name, report.document(now())),
            every_seconds=REPORT_EVERY_SECONDS,
            stop=stop,
        ),
        worker.relay.run,
        worker.quarantine.close_at,
        partial(_fall_with, lost),
    )
    await worker.relay.clear()  # what the last lanes published after the relay had stopped


async def lanes(bus: Bus, quarantine: Quarantine) -> list[Pull]:
    """Open what the lanes pull from. The first takes no bulk, however much of it there is."""
    pulls = [await bus.pull(INTERACTIVE.name), *[await bus.pull(INTERACTIVE.name, BULK.name) for _ in range(LANES - 1)]]
    return [GuardedPull(pull, quarantine) for pull in pulls]


def _open(machine: Machine, spec: Spec) -> Engine | Kernel:
    return open_engine(spec.model, spec.variant, denoise=spec.denoise, **machine.model_dump())


def _equipment(machine: Machine, device: Device) -> Equipment:
    return Equipment(
        device,
        variants=lambda fast: variants(machine.device, fast=fast),
        denoises=lambda name: find_model(name, machine.models_dir).denoises,
        budget=PixelBudget(BUDGET_PIXELS, urgent=URGENT_PIXELS),
    )


async def _fall_with(lost: asyncio.Event, stop: asyncio.Event) -> None:
    """End the process when its device is *lost*: the supervisor starts one that can open it again."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (lost, stop)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
    if lost.is_set() and not stop.is_set():
        raise DeviceLostError("The device is lost.")


def work() -> None:
    """Serve jobs. The sandbox starts first, while this process holds no connection."""
    configure("processors")
    settings, machine = Settings(), Machine()
    sandbox = Sandbox(slots=LANES)
    sandbox.start()
    try:
        name = f"{socket.gethostname()}-{os.getpid()}"
        probed = probe(**machine.model_dump())
        report = Report(name, f"{name}-{secrets.token_hex(4)}", now(), probed, model_rows(machine.models_dir))
        asyncio.run(run(settings, machine, sandbox, report))
    finally:
        sandbox.close()


def show_probe() -> None:
    """Measure this machine afresh and print the result."""
    print(json.dumps(asdict(probe(**Machine().model_dump(), again=True)), indent=2))


def list_models() -> None:
    """Print every model and whether it can run here."""
    print(json.dumps(model_rows(Machine().models_dir), indent=2))


def command(arguments: Sequence[str]) -> Callable[[], object]:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m processors", description="Serve jobs, or look after models.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("probe", help="time the engines of this machine again")
    models = commands.add_parser("models", help="look after models").add_subparsers(dest="action", required=True)
    models.add_parser("ls", help="list models")
    models.add_parser("pull", help="download an official release").add_argument("name")
    asked = parser.parse_args(arguments)
    match asked.command, getattr(asked, "action", None):
        case "probe", _:
            return show_probe
        case "models", "pull":
            return lambda: print(*pull_model(asked.name, Machine().models_dir), sep="\n")
        case "models", _:
            return list_models
        case _:
            return work


def main() -> int:
    """Entry point of `python -m processors`."""
    try:
        command(sys.argv[1:])()
    except PipelineError as error:
        print(f"{error.code}: {error.detail}\n{error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
