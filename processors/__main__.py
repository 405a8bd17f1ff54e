"""The processor process: `python -m processors`, and its commands `models ls`, `models pull NAME` and `probe`."""

import argparse
import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

from pipeline.adapters import mongo, nats_bus
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.clock import now
from pipeline.consumer import consume, settling
from pipeline.errors import PipelineError
from pipeline.lifecycle import repeat, serve
from pipeline.logs import configure
from pipeline.outbox import Relay
from pipeline.topology import BULK, INTERACTIVE
from processors.device import Device
from processors.engines import open_engine, probe
from processors.models.pull import pull_model
from processors.report import REPORT_EVERY_SECONDS, Report, model_rows
from processors.sandbox import Limits, Sandbox
from processors.settings import Machine, Settings
from processors.upscale import Upscaler
from processors.worker import Worker

#: One lane computes while the other loads, decodes, encodes or stores.
LANES: Final = 2
GRACE_SECONDS: Final = 30.0


async def run(settings: Settings, machine: Machine, sandbox: Sandbox, report: Report) -> None:
    """Serve until SIGTERM."""
    url = settings.mongo_url.get_secret_value()
    bus = await nats_bus.connect(settings.nats_url.get_secret_value(), name="processors")
    objects = MinioObjects(Endpoint.parse(settings.minio_url.get_secret_value()))
    client = mongo.connect(url)
    device = Device(partial(open_engine, **machine.model_dump()))
    try:
        documents = mongo.documents(mongo.database(client, url))
        relay = Relay(documents.jobs, bus)
        upscaler = Upscaler(objects, sandbox, device, Limits(max_pixels=settings.max_pixels))
        worker = Worker(documents, objects, bus, relay, upscaler, now)
        pulls = [await bus.pull(INTERACTIVE.name, BULK.name) for _ in range(LANES)]
        await serve(
            bus,
            lambda stop: consume(pulls, settling(worker.handle, bus), stop=stop, grace_seconds=GRACE_SECONDS),
            lambda stop: repeat(
                lambda: documents.workers.report(report.name, report.document(now())),
                every_seconds=REPORT_EVERY_SECONDS,
                stop=stop,
            ),
            relay.run,
        )
        await relay.clear()  # what the last lanes published after the relay had stopped
    finally:
        device.close()
        await bus.close()
        await objects.close()
        await client.close()


def work() -> None:
    """Serve jobs. The sandbox starts first, while this process holds no connection."""
    configure("processors")
    settings, machine = Settings(), Machine()
    sandbox = Sandbox(slots=LANES)
    sandbox.start()
    try:
        name = f"{socket.gethostname()}-{os.getpid()}"
        probed = probe(**machine.model_dump())
        report = Report(name, now(), probed, model_rows(machine.models_dir))
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
            return lambda: print(pull_model(asked.name, Machine().models_dir))
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
