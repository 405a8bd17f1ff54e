"""Tab: what each shell is told, and that a service that is away keeps nobody waiting."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import httpx2
import pytest
import typer
from typer.testing import CliRunner

from enlarger import Client
from enlarger.command import completing
from enlarger.command.app import app
from enlarger.command.session import GLANCE_SECONDS, Session
from pipeline.job import Status
from pipeline.option_values import FORMAT_NAMES
from pipeline.topology import Lane
from tests.unit.command.shell import ENVIRON
from tests.unit.fake_service import TOKEN, FakeService, away, busy

ROOT = Path(__file__).parents[3]


@dataclass
class Tab:
    """Presses Tab at the end of a line, in one of the shells."""

    service: FakeService = field(default_factory=FakeService)
    environ: dict[str, str] = field(default_factory=lambda: dict(ENVIRON))

    def __call__(self, line: str, shell: str = "bash") -> str:
        words = line.split(" ")
        said = {
            "bash": {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)},
            "zsh": {"_TYPER_COMPLETE_ARGS": line},
            "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        }[shell]
        env = {"_ENLARGER_COMPLETE": f"complete_{shell}", **said}
        session = Session(self.environ, Path("/"), self._never, glance=self._glance)
        return CliRunner().invoke(app, [], env=env, obj=session, prog_name="enlarger", catch_exceptions=False).stdout

    def offered(self, line: str) -> list[str]:
        return self(line).split()

    def _never(self, url: str, token: str) -> Client:
        raise AssertionError("Tab opened a client that waits")

    def _glance(self, url: str, token: str) -> Client:
        quick = Session(self.environ, Path("/"), self._never).glance(url, token)._core
        assert (quick._timeout_seconds, token) == (GLANCE_SECONDS, TOKEN)
        return Client(url, token, transport=self.service.transport, clock=quick._clock)


@pytest.fixture
def tab() -> Tab:
    return Tab()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_told_of_commands_and_of_what_the_service_knows(tab: Tab, shell: str) -> None:
    job = tab.service.add(status="failed")["id"]
    assert "sync" in tab("enlarger s", shell)
    assert "realesrgan-x4plus" in tab("enlarger upscale a.jpg --model real", shell)
    assert job in tab("enlarger jobs show ", shell)
    assert "interactive" in tab("enlarger lanes pause ", shell)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_that_shows_more_shows_what_a_job_is(tab: Tab, shell: str) -> None:
    tab.service.add(status="failed")
    assert "failed jobs/job_" in tab("enlarger jobs retry ", shell)


def test_each_action_is_offered_the_jobs_that_it_is_for(tab: Tab) -> None:
    ids = {status: tab.service.add(status=status)["id"] for status in ("queued", "succeeded", "failed")}
    tab.service.page = 50
    assert set(tab.offered("enlarger jobs show ")) == set(ids.values())
    assert tab.offered("enlarger jobs cancel ") == [ids["queued"]]
    assert tab.offered("enlarger jobs retry ") == [ids["failed"]]


def test_only_what_begins_as_it_was_typed_is_offered_and_nothing_that_moves_the_cursor(tab: Tab) -> None:
    tab.service.add(id="job_A\x1b[2J", status="failed")
    tab.service.add(id="job_B", status="failed")
    assert tab.offered("enlarger jobs show job_") == ["job_B"]
    assert tab.offered("enlarger jobs show x") == []


@pytest.mark.parametrize("fault", [away, busy("60"), busy(status=503), lambda _: httpx2.Response(200, text="<html>")])
def test_a_service_that_does_not_answer_at_once_is_asked_once_and_offers_nothing(tab: Tab, fault: object) -> None:
    for _ in range(3):
        tab.service.once("GET", "/v1/jobs", fault)  # type: ignore[arg-type]
    assert tab.offered("enlarger jobs show ") == []
    assert len(tab.service.requests) == 1


def test_without_settings_nothing_is_offered_and_nothing_is_said(tab: Tab) -> None:
    tab.environ.clear()
    assert tab.offered("enlarger jobs show ") == []


def test_fixed_words_are_those_that_the_service_takes() -> None:
    assert set(completing.LANES) == set(get_args(Lane))
    assert set(completing.STATUSES) == {status.value for status in Status}
    assert set(completing.FORMATS) <= FORMAT_NAMES.keys()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_show_completion_prints_a_script_for_the_shell(shell: str) -> None:
    env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    source = {"_ENLARGER_COMPLETE": f"source_{shell}"}
    script = CliRunner().invoke(app, [], env=env | source, prog_name="enlarger").stdout
    assert "_ENLARGER_COMPLETE" in script
    assert f"complete_{shell}" in script


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder, with `enlarger` on its path as pip would put it there."""
    program = tmp_path / "bin/enlarger"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from enlarger.command import main\nmain()\n"
    )
    program.chmod(0o755)
    return tmp_path


def bash(home: Path, script: str) -> str:
    env = {"PATH": f"{home}/bin:{os.environ['PATH']}", "HOME": str(home)}
    done = subprocess.run(
        ["bash", "-c", script], env=env, cwd=home, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_in_bash_tab_completes_after_the_completion_was_installed(home: Path) -> None:
    told = bash(home, "enlarger --install-completion; : done")
    assert "bash completion installed in" in told
    words = "COMP_WORDS=(enlarger jobs c) COMP_CWORD=2"
    offered = bash(home, f"source {home}/.bashrc; {words}; _enlarger_completion enlarger; echo ${{COMPREPLY[@]}}")
    assert offered.split() == ["cancel"]
    assert "_enlarger_completion" in bash(home, "enlarger --show-completion; : done")


def commands(found: object, path: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Every command that does something, with its flags."""
    below = getattr(found, "commands", None)
    if below is None:
        return {" ".join(path): {name for one in found.params for name in one.opts}}  # type: ignore[attr-defined]
    return {name: flags for word, one in below.items() for name, flags in commands(one, (*path, word)).items()}


def test_every_command_takes_json() -> None:
    found = commands(typer.main.get_command(app))
    assert len(found) > 30
    assert [name for name, flags in found.items() if "--json" not in flags] == []


def test_every_command_stands_on_the_page() -> None:
    page = (ROOT / "docs/command.md").read_text()
    assert [name for name in commands(typer.main.get_command(app)) if f"enlarger {name}" not in page] == []
