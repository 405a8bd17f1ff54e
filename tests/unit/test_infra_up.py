"""What `make up` decides before it starts anything."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import SetupError
from infra.stack import CLONE, Folders
from infra.up import prepare


@pytest.fixture
def state(tmp_path: Path) -> Path:
    Folders(tmp_path / "state").make()
    return tmp_path / "state"


def infra(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra", *arguments],
        cwd=CLONE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_second_start_has_the_same_secrets_ports_and_urls(state: Path) -> None:
    assert prepare(state, {}) == prepare(state, {})


def test_a_server_that_a_url_names_is_not_started(state: Path) -> None:
    stack = prepare(state, {"ENLARGER_MINIO_URL": "http://root:secret@store:9000"})
    assert stack.external == {"minio"}
    assert stack.addresses.minio == "http://root:secret@store:9000"
    assert stack.addresses.nats.startswith("nats://bootstrap:")


def test_a_bus_that_a_url_names_is_shared_by_all_services(state: Path) -> None:
    stack = prepare(state, {"ENLARGER_NATS_URL": "nats://me:secret@bus:4222"})
    assert stack.service("ingest").env["ENLARGER_NATS_URL"] == "nats://me:secret@bus:4222"


def test_our_own_object_store_announces_uploads_on_a_bus_that_a_url_names(state: Path) -> None:
    told = prepare(state, {"ENLARGER_NATS_URL": "nats://me:secret@bus:4222"}).minio(Path("minio")).env
    for target in ("FAST", "DURABLE"):
        assert told[f"MINIO_NOTIFY_NATS_ADDRESS_{target}"] == "bus:4222"
        assert told[f"MINIO_NOTIFY_NATS_USERNAME_{target}"] == "me"
        assert told[f"MINIO_NOTIFY_NATS_PASSWORD_{target}"] == "secret"


def test_the_state_folder_is_private(state: Path) -> None:
    assert {path.stat().st_mode & 0o077 for path in (state, *state.iterdir())} == {0}


def test_bootstrap_alone_names_the_settings_that_it_misses() -> None:
    done = infra("bootstrap", ENLARGER_MINIO_URL="http://a:b@c:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: set ENLARGER_NATS_URL, ENLARGER_MONGO_URL to the servers")


def test_env_says_how_to_get_one(tmp_path: Path) -> None:
    done = infra("--state", str(tmp_path), "env")
    assert done.returncode == 1
    assert "`make up` writes it" in done.stderr


@pytest.mark.parametrize("port", ["abc", "80000", "-1"])
def test_a_port_that_is_none_is_refused_by_the_name_of_its_setting(state: Path, port: str) -> None:
    with pytest.raises(SetupError, match=f"ENLARGER_API_PORT={port}"):
        prepare(state, {"ENLARGER_API_PORT": port})


def test_make_clean_leaves_a_running_installation_alone(tmp_path: Path) -> None:
    (tmp_path / ".enlarger").mkdir()
    (tmp_path / "Makefile").symlink_to(CLONE / "Makefile")
    make = ["make", "-C", str(tmp_path), "clean"]
    with (tmp_path / ".enlarger" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = subprocess.run(make, capture_output=True, text=True, timeout=30, check=False)
        assert (refused.returncode, "stop it first" in refused.stderr) == (2, True)
        assert (tmp_path / ".enlarger").exists()
    subprocess.run(make, capture_output=True, timeout=30, check=True)
    assert not (tmp_path / ".enlarger").exists()
