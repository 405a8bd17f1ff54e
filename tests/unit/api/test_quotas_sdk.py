"""The SDK's and the command's calls about quotas against the application itself."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from enlarger import Client, EnlargerError
from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.api.conftest import TOKENS, World
from tests.unit.fake_service import FakeTime

Run = Callable[..., Result]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def connect(world: World, time: FakeTime, owner: str) -> Client:
    return Client("http://api.test", TOKENS[owner], transport=world.alice._transport, clock=time.clock())


@pytest.fixture
def run(world: World, time: FakeTime) -> Run:
    def call(*args: str, owner: str = "admin") -> Result:
        environ = {"ENLARGER_URL": "http://api.test", "ENLARGER_TOKEN": "t"}
        session = Session(environ, Path(), lambda _url, _token: connect(world, time, owner))
        return CliRunner().invoke(app, args, obj=session)

    return call


def test_usage_tells_what_is_used_and_left(world: World, run: Run) -> None:
    world.allowance["bytes"] = 10
    world.alice.post("/v1/uploads", json={"filename": "a.png", "size_bytes": 7})
    *table, last = run("usage", owner="alice").stdout.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in table}
    assert rows["alice"] == ["used", "quota", "left"]
    assert rows["bytes"] == ["7", "10", "3"]
    assert rows["pixels"] == ["0", "unlimited"]
    assert rows["jobs"] == ["1", "unlimited"]
    assert last.endswith("start anew at 2026-11-02 00:00:00Z")


def test_json_has_the_shapes_of_the_http_api(world: World, run: Run) -> None:
    assert json.loads(run("usage", "--json", owner="alice").stdout) == world.alice.get("/v1/usage").json()
    of_alice = run("usage", "--owner", "alice", "--json").stdout
    assert json.loads(of_alice) == world.admin.get("/v1/admin/usage/alice").json()
    held = json.loads(run("quotas", "set", "alice", "--jobs", "5", "--json").stdout)
    shown = json.loads(run("quotas", "show", "alice", "--json").stdout)
    assert held["quotas"] == shown["quotas"] == world.admin.get("/v1/admin/quotas/alice").json()["quotas"]


def test_what_is_not_named_stays_as_it_is(world: World, run: Run) -> None:
    world.allowance |= {"device_seconds": 60}
    run("quotas", "set", "alice", "--bytes", "10G", "--jobs", "5", "--device-seconds", "unlimited")
    told = run("quotas", "set", "alice", "--pixels", "2k", "--jobs", "default").stdout
    rows = {line.split()[0]: line.split()[1:] for line in told.splitlines()}
    assert rows["bytes"] == ["10000000000", "own"]
    assert rows["pixels"] == ["2000", "own"]
    assert rows["jobs"] == ["unlimited", "settings"]
    assert rows["device_seconds"] == ["unlimited", "own"]
    assert run("quotas", "show", "alice").stdout == told


@pytest.mark.parametrize(
    "args", [[], ["--bytes", "-1"], ["--jobs", "1.5"], ["--pixels", "none"], ["--bytes", "9" * 16]]
)
def test_what_is_no_amount_is_a_usage_error(run: Run, args: list[str]) -> None:
    assert run("quotas", "set", "alice", *args).exit_code == 2


def test_others_are_for_admins(run: Run) -> None:
    for args in (("usage", "--owner", "bob"), ("quotas", "show", "alice"), ("quotas", "set", "alice", "--jobs", "1")):
        refused = run(*args, owner="alice")
        assert refused.exit_code == 1
        assert "token_forbidden" in refused.stderr


def test_a_quota_that_is_used_up_is_told_at_once_instead_of_being_waited_for(
    world: World, time: FakeTime, tmp_path: Path
) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(b"picture")
    world.allowance["bytes"] = 1
    wanted: Any = partial(connect(world, time, "alice").upload, photo)
    with pytest.raises(EnlargerError) as caught:
        wanted()
    assert (caught.value.code, caught.value.status, time.slept) == ("quota_exceeded", 429, [])
