"""Keeps processes running: starts them until they work, restarts what dies, stops all in reverse order."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infra import tether
from infra.errors import SetupError
from infra.loglines import Journal
from infra.probes import Probe, until

PIPE_SECONDS: Final = 2.0
KEPT_LINES: Final = 5_000
BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
#: A process that lived this long has recovered: its count of deaths starts again.
RECOVERED_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Process:
    """A command to keep running.

    `env` is its whole environment; `ready` is a probe to poll, or a text that its log shows once it works.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready: Probe | str
    start_seconds: float = 30.0
    stop_seconds: float = 10.0


@dataclass(slots=True)
class _Entry:
    process: Process
    journal: Journal
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: bool = True
    worked: bool = False
    child: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = None
    deaths: int = 0


class Supervisor:
    """Runs processes; every method is called on the event loop that made it.

    Args:
        logs: Folder for one log file per process.
        echo: Told every line as (process name, line).
        restarts: Whether a process that worked once and dies is started again, with growing pauses; the eighth death
            in a row ends it.

    `failure` is set to a text when a process is given up.
    """

    def __init__(self, logs: Path, echo: Callable[[str, str], None] | None = None, *, restarts: bool = False) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._logs = logs
        self._echo = echo or (lambda _name, _line: None)
        self._restarts = restarts
        self._entries: dict[str, _Entry] = {}

    async def start(self, process: Process) -> None:
        """Start *process* and return when it works.

        Raises:
            SetupError: It ended, or was not ready in `start_seconds`; it is stopped then.
        """
        if process.name in self._entries:
            await self.stop(process.name)
        entry = _Entry(process, Journal(self._logs / f"{process.name}.log"))
        self._entries[process.name] = entry
        entry.keeper = asyncio.create_task(self._keep(entry), name=f"keep {process.name}")
        try:
            await self.wait_ready(process.name)
        except BaseException:
            await self.stop(process.name)
            raise

    async def wait_ready(self, name: str) -> None:
        """Return when *name* works, also while it is being restarted; raises SetupError as `start` does."""
        entry = self._entries[name]
        keeper = entry.keeper
        if keeper is None:
            raise SetupError(f"{name} was never started")
        ready = asyncio.create_task(entry.ready.wait())
        try:
            await asyncio.wait(
                {ready, keeper}, timeout=entry.process.start_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
        if entry.ready.is_set():
            return
        state = "ended" if keeper.done() else f"was not ready after {entry.process.start_seconds:g} s"
        raise SetupError("\n".join([f"{name} {state}; the end of its log:", *list(entry.lines)[-30:]]))

    async def stop(self, name: str) -> int | None:
        """Ask *name* to end, kill it and its children after `stop_seconds`; return its exit status."""
        entry = self._entries[name]
        entry.wanted = False
        if entry.child is not None and entry.child.returncode is None:
            entry.child.terminate()
        return await self._ended(entry, entry.process.stop_seconds)

    async def kill(self, name: str) -> None:
        """End *name* and its children with SIGKILL; it stays down until `restart`."""
        entry = self._entries[name]
        entry.wanted = False
        if entry.child is not None and entry.child.returncode is None:
            _kill_group(entry.child)
        await self._ended(entry, entry.process.stop_seconds)

    async def restart(self, name: str) -> None:
        """Stop *name* where it runs and start it again."""
        await self.start(self._entries[name].process)

    async def close(self, *together: str) -> None:
        """Stop everything: those named *together* at once, then the others, last started first."""
        await asyncio.gather(*(self.stop(name) for name in together if name in self._entries))
        for name in reversed(self._entries):
            await self.stop(name)

    def pid(self, name: str) -> int:
        """The process id of *name*, which leads its own process group.

        Raises:
            ProcessLookupError: It does not run.
        """
        entry = self._entries.get(name)
        if entry is None or entry.child is None or entry.child.returncode is not None:
            raise ProcessLookupError(f"{name} does not run")
        return entry.child.pid

    def lines(self, name: str) -> list[str]:
        """The last lines that *name* wrote since `start`."""
        return list(self._entries[name].lines)

    async def wait_line(self, name: str, text: str, *, seconds: float = 30.0) -> str:
        """Return the first line of *name* since `start` that holds *text*; TimeoutError after *seconds*."""
        entry = self._entries[name]
        async with asyncio.timeout(seconds), entry.news:
            while True:
                if found := next((line for line in entry.lines if text in line), None):
                    return found
                await entry.news.wait()

    async def _keep(self, entry: _Entry) -> None:
        loop = asyncio.get_running_loop()
        while entry.wanted:
            born = loop.time()
            status = await self._live(entry)
            entry.deaths = 1 if loop.time() - born > RECOVERED_SECONDS else entry.deaths + 1
            if not (entry.wanted and entry.worked and self._restarts):
                return
            if entry.deaths > len(BACKOFF_SECONDS):
                self._give_up(f"{entry.process.name} died {entry.deaths} times in a row, last with status {status}")
                return
            pause = BACKOFF_SECONDS[entry.deaths - 1]
            self._echo(entry.process.name, f"died with status {status}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)

    async def _live(self, entry: _Entry) -> int:
        """One life, from start to exit."""
        process = entry.process
        entry.child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-IS", tether.__file__, str(os.getpid()), *process.argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(process.env),
            start_new_session=True,  # Ctrl-C at the terminal reaches the supervisor alone: it stops the rest in order
            limit=1 << 20,
        )
        if not entry.wanted:
            entry.child.terminate()
        reading = asyncio.create_task(self._read(entry, entry.child))
        probing = asyncio.create_task(_probe(entry))
        try:
            status = await entry.child.wait()
            _kill_group(entry.child)  # what it started and left behind; this also closes the pipe
            await asyncio.wait({reading}, timeout=PIPE_SECONDS)
        finally:
            entry.ready.clear()
            probing.cancel()
            reading.cancel()
        return status

    async def _read(self, entry: _Entry, child: asyncio.subprocess.Process) -> None:
        if child.stdout is None:
            return
        while raw := await _read_line(child.stdout):
            line = raw.decode(errors="replace").rstrip()
            entry.journal.write(line)
            self._echo(entry.process.name, line)
            if isinstance(entry.process.ready, str) and entry.process.ready in line:
                entry.worked = True
                entry.ready.set()
            async with entry.news:
                entry.lines.append(line)
                entry.news.notify_all()

    async def _ended(self, entry: _Entry, seconds: float) -> int | None:
        if entry.keeper is None:
            return None
        if entry.child is None or entry.child.returncode is not None:
            entry.keeper.cancel()  # it waits to start again
        _, late = await asyncio.wait({entry.keeper}, timeout=seconds)
        if late:
            self._echo(entry.process.name, f"did not end in {seconds:g} s: killed")
            _kill_group(entry.child)
            await asyncio.wait({entry.keeper}, timeout=seconds)
        entry.journal.close()
        return entry.child.returncode if entry.child else None

    def _give_up(self, reason: str) -> None:
        if not self.failure.done():
            self.failure.set_result(reason)


async def _probe(entry: _Entry) -> None:
    probe = entry.process.ready
    if isinstance(probe, str):
        return
    with contextlib.suppress(TimeoutError):  # `wait_ready` reports it
        await until(probe, entry.process.start_seconds)
        entry.worked = True
        entry.ready.set()


async def _read_line(stream: asyncio.StreamReader) -> bytes:
    while True:
        try:
            return await stream.readline()
        except ValueError:  # a line beyond the limit: asyncio drops it
            continue


def _kill_group(child: asyncio.subprocess.Process | None) -> None:
    if child is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
