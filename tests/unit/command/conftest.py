"""A command line, a folder, and a service in memory."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.fake_service import API, TOKEN, FakeService

ENVIRON = {"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}

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
