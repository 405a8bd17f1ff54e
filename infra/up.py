"""`make up`: servers, bootstrap, services and the first picture, then keeps all of it running until Ctrl-C."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from infra import envfile, ports, sample, secrets
from infra.addresses import ROOT, SERVICES, Addresses, local
from infra.bootstrap import bootstrap, lease_from
from infra.errors import SetupError
from infra.loglines import Terminal
from infra.stack import Folders, Stack
from infra.start import start_servers
from infra.supervisor import Supervisor

MAX_PORT: Final = 65_535
NEXT: Final = """
  set -a; . {state}/env; set +a; PATH="{bin}:$PATH"
  enlarger upscale {photo} -o . --scale 2
  enlarger jobs ls
  curl -H "Authorization: Bearer $ENLARGER_TOKEN" -F file=@{photo} "$ENLARGER_URL/v1/jobs"
  aws s3 cp {photo} s3://uploads/@x4/photo.jpg      # any S3 client; the result has the same key in s3://outputs
"""


async def up(state: Path, environment: Mapping[str, str]) -> int:
    """Run the whole installation whose state lies in *state*; return the exit status.

    Raises:
        SetupError: It cannot run; the text says why. Everything that was started is stopped by then.
    """
    os.umask(0o077)
    Folders(state).make()
    with _locked(state):
        stack = prepare(state, environment)
        terminal = Terminal()
        supervisor = Supervisor(stack.folders.logs, terminal, restarts=True)
        stopping = _stop_signal()
        try:
            return await _run(stack, supervisor, stopping, lambda text: terminal("enlarger", text))
        finally:
            terminal("enlarger", "stopping; a picture in hand may take up to 45 s")
            await supervisor.close(*SERVICES)  # nobody publishes any more when the servers end


def prepare(state: Path, environment: Mapping[str, str]) -> Stack:
    """Secrets, ports and addresses: as they were last time, or new."""
    known = secrets.load_or_create(state / "secrets.json")
    wanted = {name: _port(environment, f"ENLARGER_{name.upper()}_PORT") for name in ports.LISTENERS}
    chosen = ports.choose_and_remember(state / "ports.json", {name: port for name, port in wanted.items() if port})
    named = {name: environment.get(f"ENLARGER_{name.upper()}_URL", "") for name in ("minio", "nats", "mongo")}
    mine = local(chosen, known.passwords[ROOT])
    addresses = Addresses(
        named["minio"] or mine.minio, named["nats"] or mine.nats, named["mongo"] or mine.mongo, bool(named["nats"])
    )
    return Stack(
        Folders(state), chosen, known, addresses, environment, frozenset(name for name, url in named.items() if url)
    )


def _port(environment: Mapping[str, str], name: str) -> int:
    """The port that a setting names; 0 when it names none."""
    text = environment.get(name) or "0"
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise SetupError(f"{name}={text} is no port: give a number from 1 to {MAX_PORT}, or none for a free one")
    return int(text)


async def _run(stack: Stack, supervisor: Supervisor, stopping: asyncio.Event, say: Callable[[str], None]) -> int:
    """Bring everything up, then wait for a signal or for a process that cannot be kept alive."""
    rising = asyncio.create_task(_rise(stack, supervisor, say))
    stopped = asyncio.create_task(stopping.wait())
    await _first(rising, stopped)
    if not rising.done():
        rising.cancel()
        await asyncio.wait([rising])
        return 0
    rising.result()
    await _first(supervisor.failure, stopped)
    if supervisor.failure.done():
        raise SetupError(f"{supervisor.failure.result()}; its log lies in {stack.folders.logs}")
    return 0


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _rise(stack: Stack, supervisor: Supervisor, say: Callable[[str], None]) -> None:
    clock = asyncio.get_running_loop().time
    began, lease = clock(), lease_from(stack.environment)
    await start_servers(stack, supervisor, say)
    await bootstrap(stack.addresses, stack.secrets, say, lease=lease)
    envfile.write(stack.folders.root / "env", stack)
    async with asyncio.TaskGroup() as group:
        for name in SERVICES:
            group.create_task(supervisor.start(stack.service(name)))
    say(f"ready after {clock() - began:.1f} s at {stack.api_url()}")
    target = stack.folders.root / "sample-x4.jpg"
    await sample.enlarge(envfile.owner_environment(stack), target, say)
    say(f"{_short(sample.PHOTO)} enlarged four times: {_short(target)}")
    say("try next, in another terminal:" + _next(stack.folders.root))
    say("running; Ctrl-C stops everything")


def _next(state: Path) -> str:
    return NEXT.format(state=_short(state), photo=_short(sample.PHOTO), bin="$PWD/.venv/bin")


def _short(path: Path) -> Path:
    """Relative to where the person is, where that is shorter to read."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Hold the state folder for this process; the kernel lets go of it when the process ends, however it ends."""
    with (state / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise SetupError(f"already running as process {file.read().strip()}; stop that one first") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
