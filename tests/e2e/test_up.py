"""`make up` as a person meets it: one command, a picture, one Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from infra.secrets import write_private
from infra.stack import CLONE
from tests.servers import Servers

READY = "running; Ctrl-C stops everything"


def infra(state: Path, command: str) -> list[str]:
    return [sys.executable, "-m", "infra", "--state", str(state), command]


@contextmanager
def up(state: Path, environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Run `up` until it is ready, give its process id and what it said, then press Ctrl-C."""
    with subprocess.Popen(
        infra(state, "up"), cwd=CLONE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if READY in line:
                break
        try:
            yield process.pid, "".join(said)
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=90)
        finally:
            process.kill()
    assert process.returncode == 0, rest
    assert "killed" not in rest


def children(pid: int) -> set[str]:
    """What runs under *pid*, as `process id (program)`, from procfs: every server and service, not what they start."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, fields = stat.read_text().rpartition(") ")
        except OSError:  # it ended meanwhile
            continue
        if fields.split()[1] == str(pid):
            found.add(name)
    return found


@pytest.fixture
def environment(servers: Servers, tmp_path: Path) -> dict[str, str]:
    """Servers of its own; where the tests run on containers, those, named by URL and opened with their passwords."""
    if os.environ.get("SERVERS", "processes") == "processes":
        return dict(os.environ)
    write_private(tmp_path / "secrets.json", json.dumps(asdict(servers.secrets)))
    return os.environ | servers.root.environment()


def settings(state: Path) -> dict[str, str]:
    printed = subprocess.run(infra(state, "env"), cwd=CLONE, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in printed.splitlines())


@pytest.mark.timeout(400)
def test_one_command_gives_a_picture_and_leaves_nothing_behind(environment: dict[str, str], tmp_path: Path) -> None:
    with up(tmp_path, environment) as (pid, said):
        started = children(pid)
        assert "sample: uploaded" in said
        with Image.open(tmp_path / "sample-x4.jpg") as picture:
            assert picture.size == (640, 480)

        owner = settings(tmp_path)
        headers = {"authorization": f"Bearer {owner['ENLARGER_TOKEN']}"}
        listed = httpx2.get(f"{owner['ENLARGER_URL']}/v1/jobs", headers=headers, trust_env=False).json()
        assert "@x4/sample.jpg" in {job["source"]["key"] for job in listed["items"]}

        refused = subprocess.run(infra(tmp_path, "up"), cwd=CLONE, capture_output=True, text=True, check=False)
        assert (refused.returncode, refused.stderr) == (
            1,
            f"error: already running as process {pid}; stop that one first\n",
        )
    assert len(started) >= 4
    assert not {name for name in started if Path(f"/proc/{name.split()[0]}").exists()}

    with up(tmp_path, environment) as (_, said):
        assert "sample: uploaded" not in said
        assert settings(tmp_path) == owner
