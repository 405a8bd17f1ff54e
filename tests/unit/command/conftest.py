"""A command line, a folder, and a service in memory."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.command.shell import ENVIRON, EPOCH, Shell, Step
from tests.unit.fake_service import API, TOKEN, FakeService

Invoke = Callable[..., Result]


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user stands: two photographs, and a text that is none."""
    trip = tmp_path / "trip"
    (trip / "day 2").mkdir(parents=True)
    (trip / "a.jpg").write_bytes(b"first")
    (trip / "day 2" / "b.JPG").write_bytes(b"second")
    (trip / "notes.txt").write_text("not a picture")
    (trip / ".hidden.jpg").write_bytes(b"of no concern")
    return tmp_path


@pytest.fixture
def enlarger(service: FakeService, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run one command line in *folder* against *service*."""
    monkeypatch.chdir(folder)

    def invoke(*args: str, environ: Mapping[str, str] = ENVIRON) -> Result:
        def connect(url: str, token: str) -> Any:
            assert (url, token) == (API, TOKEN)
            return service.client()

        return CliRunner().invoke(app, args, obj=Session(environ, folder, connect), catch_exceptions=False)

    return invoke


@pytest.fixture
def shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(folder)
    for path in (folder / "trip").rglob("*.*"):
        os.utime(path, (EPOCH - 60, EPOCH - 60))
    return Shell(folder)


@pytest.fixture
def write(shell: Shell) -> Callable[..., Step]:
    """A step that writes a file, stamped with the present time or an older one."""

    def step(name: str, body: bytes, *, old_seconds: float = 0.0, told: bool = True) -> Step:
        def written() -> set[Path]:
            path = shell.folder / "trip" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            stamp = EPOCH + shell.time.now - old_seconds
            os.utime(path, (stamp, stamp))
            return {path} if told else set()

        return written

    return step
