"""Gets the server programs: a binary on PATH, else a build of the pinned Go module, kept outside the clone.

Needs the standard library alone: `python3 -m infra.binaries` builds while the virtual environment is still being made.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.errors import SetupError

SERVERS_DIR: Final = Path(__file__).parent / "servers"
BUILD_SECONDS: Final = 1_800.0
INSTALL_GO: Final = "install Go 1.25 or newer (https://go.dev/dl), or set {setting} to a server that runs already"


@dataclass(frozen=True, slots=True)
class GoServer:
    """A server that is built from the module in `infra/servers/<name>`; its program is at *package* in there."""

    name: str
    program: str
    module: str
    setting: str
    package: str = ""

    def version(self) -> str:
        """The module version that go.mod pins."""
        text = (SERVERS_DIR / self.name / "go.mod").read_text()
        match = re.search(rf"^\s*{re.escape(self.module)} (v\S+)", text, re.MULTILINE)
        if match is None:
            raise SetupError(f"infra/servers/{self.name}/go.mod does not pin {self.module}")
        return match[1]

    def cached(self) -> Path:
        """Where the build of this version is kept."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "enlarger" / "servers" / f"{self.name}-{self.version()}" / self.program


MINIO: Final = GoServer("minio", "minio", "github.com/minio/minio", "ENLARGER_MINIO_URL")
NATS: Final = GoServer("nats", "nats-server", "github.com/nats-io/nats-server/v2", "ENLARGER_NATS_URL")
#: A second object store, which the contract tests run on.
VERSITYGW: Final = GoServer(
    "versitygw", "versitygw", "github.com/versity/versitygw", "ENLARGER_MINIO_URL", "/cmd/versitygw"
)


def find(server: GoServer, say: Callable[[str], None]) -> Path:
    """The program of *server*: on PATH, else built before, else built now (MinIO takes minutes).

    Raises:
        SetupError: There is no Go to build it with, or the build failed.
    """
    if on_path := shutil.which(server.program):
        return Path(on_path)
    target = server.cached()
    if not target.exists():
        build(server, target, say)
    return target


def build(server: GoServer, target: Path, say: Callable[[str], None]) -> None:
    """Compile the pinned module into *target*, which appears only when it is whole."""
    go = shutil.which("go")
    if go is None:
        raise SetupError(f"no {server.program} on PATH: {INSTALL_GO.format(setting=server.setting)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    say(f"building {server.name} {server.version()}, once for this version ...")
    argv = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(draft), server.module + server.package]
    try:
        _run(argv, server, say)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def build_all(names: Sequence[str] = ()) -> None:
    """Get every server that no URL setting names, so that a later start finds it; prints where each lies.

    *names* are those beside the two that every installation needs.
    """
    for server in (NATS, MINIO, *(server for server in (VERSITYGW,) if server.name in names)):
        print(f"{server.name}: {'set by ' + server.setting if os.environ.get(server.setting) else find(server, _say)}")


def _say(text: str) -> None:
    print(text, flush=True)


def documents_argv(port: int, folder: Path, *, auth: bool) -> tuple[str, ...]:
    """The command of the document server: `mongod`, else `secantusd-rs`, both from PATH, else the SecantusDB wheel's.

    Raises:
        SetupError: None of them is there.
    """
    login = ("--auth",) if auth else ()
    if mongod := shutil.which("mongod"):
        return (mongod, "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--quiet", *login)
    wheel = Path(sys.executable).with_name("secantusd-py")
    program = shutil.which("secantusd-rs") or (str(wheel) if wheel.exists() else None)
    if program is None:
        raise SetupError(
            "no document server: install MongoDB 8 (mongod on PATH), or `pip install -r requirements/local.txt`"
            " for the SecantusDB wheel, or set ENLARGER_MONGO_URL to a server that runs already"
        )
    options = ("--host", "127.0.0.1", "--port", str(port), "--storage-path", str(folder))
    return (program, *options, "--cache-size", "256M", "--sync-on-commit", *login)


def _run(argv: list[str], server: GoServer, say: Callable[[str], None]) -> None:
    """Run a build, telling every ten seconds that it is still at work."""
    started = time.monotonic()
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    with subprocess.Popen(
        argv,
        cwd=SERVERS_DIR / server.name,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            output = _watch(process, server, say)
        except BaseException:
            process.kill()
            raise
    elapsed = time.monotonic() - started
    if process.returncode:
        raise SetupError(f"building {server.name} failed after {elapsed:.0f} s:\n{output[-3000:]}")
    say(f"built {server.name} in {elapsed:.0f} s")


def _watch(process: subprocess.Popen[str], server: GoServer, say: Callable[[str], None]) -> str:
    started = time.monotonic()
    while True:
        try:
            output, _ = process.communicate(timeout=10.0)
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - started
            if elapsed > BUILD_SECONDS:
                raise SetupError(f"building {server.name} took more than {BUILD_SECONDS:.0f} s") from None
            say(f"building {server.name}: {elapsed:.0f} s")
        else:
            return output


if __name__ == "__main__":
    try:
        build_all(sys.argv[1:])
    except SetupError as error:
        sys.exit(f"error: {error}")
