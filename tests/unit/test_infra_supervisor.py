"""The supervisor, on real processes that are a line of Python each."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.errors import SetupError
from infra.probes import Probe, until
from infra.stack import CLONE
from infra.supervisor import Process, Supervisor

pytestmark = pytest.mark.anyio

READY = "print('ready', flush=True); "
WAIT = "import signal; signal.pause()"
OBEY = "import os, signal; signal.signal(15, lambda *_: (os.write(1, b'asked\\n'), os._exit(0))); "
REFUSE = "import signal; signal.signal(15, signal.SIG_IGN); "


def python(name: str, code: str, *, start_seconds: float = 20.0, stop_seconds: float = 20.0) -> Process:
    argv = (sys.executable, "-ISc", code)
    return Process(name, argv, dict(os.environ), "ready", start_seconds=start_seconds, stop_seconds=stop_seconds)


class Stage:
    def __init__(self, logs: Path) -> None:
        self.told: list[tuple[str, str]] = []
        self.news = asyncio.Event()
        self.logs = logs

    def echo(self, name: str, line: str) -> None:
        self.told.append((name, line))
        self.news.set()

    async def until_told(self, name: str, text: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(1 for who, line in self.told if who == name and text in line) < times:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "logs")


@pytest.fixture
async def supervisor(stage: Stage) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(stage.logs, stage.echo)
    yield supervisor
    await supervisor.close()


def gone(pid: int) -> Probe:
    """Whether no process has this id, or only a zombie that waits for its parent."""

    async def probe() -> bool:
        try:
            return ") Z " in Path(f"/proc/{pid}/stat").read_text()  # noqa: ASYNC240 - procfs never blocks
        except OSError:
            return True

    return probe


async def test_start_returns_when_the_log_says_ready(supervisor: Supervisor, stage: Stage) -> None:
    await supervisor.start(python("one", READY + WAIT))
    assert supervisor.lines("one") == ["ready"]
    await supervisor.stop("one")
    assert (stage.logs / "one.log").read_text() == "ready\n"


async def test_start_returns_when_a_probe_answers(supervisor: Supervisor) -> None:
    answers = iter([False, False, True])

    async def probe() -> bool:
        return next(answers)

    await supervisor.start(Process("one", (sys.executable, "-ISc", WAIT), {}, probe))
    assert next(answers, None) is None


async def test_a_process_that_ends_before_it_works_is_an_error_with_its_log(supervisor: Supervisor) -> None:
    with pytest.raises(SetupError, match=r"one ended; the end of its log:\nno room"):
        await supervisor.start(python("one", "raise SystemExit('no room')"))


async def test_a_process_that_does_not_become_ready_is_killed(supervisor: Supervisor) -> None:
    with pytest.raises(SetupError, match=r"one was not ready after 0.5 s"):
        await supervisor.start(python("one", "print('no', flush=True); " + WAIT, start_seconds=0.5))
    with pytest.raises(ProcessLookupError):
        supervisor.pid("one")


async def test_a_program_that_is_not_there_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(SetupError, match="cannot start /no/such/program: No such file"):
        await supervisor.start(Process("one", ("/no/such/program",), {}, "ready"))


async def test_stop_asks_first_and_returns_the_status(supervisor: Supervisor) -> None:
    await supervisor.start(python("one", OBEY + READY + WAIT))
    assert await supervisor.stop("one") == 0
    assert supervisor.lines("one") == ["ready", "asked"]


async def test_a_process_that_does_not_listen_is_killed_after_its_time(supervisor: Supervisor, stage: Stage) -> None:
    code = REFUSE + READY + "\nwhile True: signal.pause()"
    await supervisor.start(python("one", code, stop_seconds=0.2))
    assert await supervisor.stop("one") == -signal.SIGKILL
    assert ("one", "did not end in 0.2 s: killed") in stage.told


async def test_close_stops_in_reverse_order(supervisor: Supervisor, stage: Stage) -> None:
    for name in ("first", "second", "third"):
        await supervisor.start(python(name, OBEY + READY + WAIT))
    await supervisor.close()
    assert [name for name, line in stage.told if line == "asked"] == ["third", "second", "first"]


async def test_children_of_a_killed_process_go_with_it(supervisor: Supervisor) -> None:
    popen = f"subprocess.Popen([sys.executable, '-ISc', {WAIT!r}])"
    child = f"import subprocess, sys; print('child', {popen}.pid, flush=True); "
    await supervisor.start(python("one", child + READY + WAIT))
    pid = int((await supervisor.wait_line("one", "child")).split()[1])
    await supervisor.kill("one")
    await until(gone(pid), 20)


async def test_a_killed_process_stays_down_until_it_is_restarted(stage: Stage) -> None:
    supervisor = Supervisor(stage.logs, stage.echo, restarts=True)
    await supervisor.start(python("one", READY + WAIT))
    await supervisor.kill("one")
    with pytest.raises(ProcessLookupError):
        supervisor.pid("one")
    await supervisor.restart("one")
    assert supervisor.pid("one")
    await supervisor.close()


async def test_a_process_that_dies_is_started_again(stage: Stage) -> None:
    supervisor = Supervisor(stage.logs, stage.echo, restarts=True)
    await supervisor.start(python("one", READY + WAIT))
    first = supervisor.pid("one")
    os.kill(first, signal.SIGKILL)
    await stage.until_told("one", "ready", times=2)
    assert supervisor.pid("one") != first
    assert ("one", "died with status -9; starting it again in 0.5 s") in stage.told
    await supervisor.close()


async def test_a_process_that_keeps_dying_is_given_up_loudly(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.supervisor.BACKOFF_SECONDS", (0.01, 0.02))
    supervisor = Supervisor(stage.logs, stage.echo, restarts=True)
    await supervisor.start(python("one", READY + "input()"))
    async with asyncio.timeout(20):
        assert await supervisor.failure == "one died 3 times in a row, last with status 1"
    await supervisor.close()


async def test_without_restarts_the_dead_stay_dead(supervisor: Supervisor) -> None:
    await supervisor.start(python("one", READY + WAIT))
    os.kill(pid := supervisor.pid("one"), signal.SIGKILL)
    await until(gone(pid), 20)
    assert await supervisor.stop("one") == -signal.SIGKILL


async def test_wait_line_gives_up_in_time(supervisor: Supervisor) -> None:
    await supervisor.start(python("one", READY + WAIT))
    with pytest.raises(TimeoutError):
        await supervisor.wait_line("one", "never", seconds=0.1)


async def test_a_line_beyond_the_limit_is_dropped_and_the_next_one_is_read(supervisor: Supervisor) -> None:
    await supervisor.start(python("one", "print('x' * 3_000_000); " + READY + WAIT))
    assert supervisor.lines("one")[-1] == "ready"


async def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = f"""
        import asyncio, os, sys
        from pathlib import Path
        from infra.supervisor import Process, Supervisor

        async def main():
            supervisor = Supervisor(Path({str(tmp_path)!r}))
            argv = (sys.executable, "-ISc", {(REFUSE + READY + WAIT)!r})
            await supervisor.start(Process("one", argv, dict(os.environ), "ready"))
            print(supervisor.pid("one"), flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(code), cwd=CLONE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        pid = int(await process.stdout.readline())
        assert not await gone(pid)()
    finally:
        process.kill()
        await process.wait()
    await until(gone(pid), 20)
