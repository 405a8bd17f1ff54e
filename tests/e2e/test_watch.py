"""`enlarger watch` as a process of its own, while the API restarts under it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment import Deployment
from tests.pictures import encoded, opened, photograph
from tests.waiting import eventually

PLACE = "s3://uploads/watched/@x2,m-lanczos/"


@pytest.fixture
def watched(enlarger: Deployment, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A watch of `photos`, which has one picture at its start."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/first.png").write_bytes(encoded(photograph(30, 20), "PNG"))
    scripts = str(Path(sys.executable).parent)
    environ = {"PATH": f"{scripts}:{os.environ['PATH']}", "HOME": str(tmp_path), **enlarger.servers.owner()}
    command = ("enlarger", "watch", "photos", PLACE, "--back", "back", "--json")
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_what_lands_comes_back_also_through_a_restart_of_the_service(
    enlarger: Deployment, watched: subprocess.Popen[str], tmp_path: Path
) -> None:
    def back(name: str) -> bytes:
        path = tmp_path / "back" / name
        return eventually(lambda: path.read_bytes() if path.exists() else None, seconds=90, what=f"back/{name}")

    assert opened(back("first.png")).shape == (40, 60, 3)
    enlarger.services["api"].kill()
    (tmp_path / "new.part").write_bytes(encoded(photograph(24, 16)))
    (tmp_path / "photos/trip").mkdir()
    (tmp_path / "new.part").rename(tmp_path / "photos/trip/new.jpg")
    enlarger.services["api"].restart()
    assert opened(back("trip/new.jpg")).shape == (32, 48, 3)
    watched.send_signal(signal.SIGTERM)
    assert watched.wait(timeout=30) == 0
    assert [path.name for path in (tmp_path / "back").rglob(".*")] == []
