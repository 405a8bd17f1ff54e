"""Where server programs come from: PATH, then earlier builds, then a build; what is said when there is no way."""

from pathlib import Path

import pytest

from infra import binaries
from infra.errors import SetupError


def say(_text: str) -> None:
    """Nobody listens."""


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with one empty folder, and a cache of builds of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("server", [binaries.MINIO, binaries.NATS])
def test_builds_are_kept_by_the_version_that_go_mod_pins(server: binaries.GoServer, empty_path: Path) -> None:
    assert server.version().startswith("v")
    assert (
        server.cached()
        == empty_path.parent / f"cache/enlarger/servers/{server.name}-{server.version()}/{server.program}"
    )


def test_a_program_on_path_wins_over_an_earlier_build(empty_path: Path) -> None:
    program(binaries.NATS.cached())
    on_path = program(empty_path / "nats-server")
    assert binaries.find(binaries.NATS, say) == on_path


def test_an_earlier_build_is_used_again(empty_path: Path) -> None:
    built = program(binaries.NATS.cached())
    assert binaries.find(binaries.NATS, say) == built


def test_without_go_the_error_says_what_to_install(empty_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no minio on PATH: install Go 1.25 or newer .* or set ENLARGER_MINIO_URL"):
        binaries.find(binaries.MINIO, say)


def test_a_build_appears_whole_and_tells_that_it_happens(empty_path: Path) -> None:
    """The stand-in for `go` writes its output file, the one after -o."""
    program(empty_path / "go", '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho built > "$2"\n')
    said: list[str] = []
    path = binaries.find(binaries.NATS, said.append)
    assert path.read_text() == "built\n"
    assert list(path.parent.iterdir()) == [path]
    assert said[0].startswith("building nats v")


def test_a_failed_build_shows_what_the_compiler_said_and_leaves_nothing(empty_path: Path) -> None:
    program(empty_path / "go", "#!/bin/sh\necho no space left\nexit 1\n")
    with pytest.raises(SetupError, match=r"building nats failed after \d+ s:\nno space left"):
        binaries.find(binaries.NATS, say)
    assert not list(binaries.NATS.cached().parent.iterdir())


def test_mongod_is_preferred_over_the_stand_ins(empty_path: Path, tmp_path: Path) -> None:
    rust = program(empty_path / "secantusd-rs")
    argv = binaries.documents_argv(1, tmp_path, auth=True)
    assert argv[0] == str(rust)
    assert {"--auth", "--sync-on-commit"} < set(argv)
    mongod = program(empty_path / "mongod")
    argv = binaries.documents_argv(1, tmp_path, auth=False)
    assert argv[0] == str(mongod)
    assert "--auth" not in argv


def test_without_any_document_server_the_error_says_what_to_install(
    empty_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(empty_path / "python"))
    with pytest.raises(SetupError, match=r"install MongoDB 8 .* or set ENLARGER_MONGO_URL"):
        binaries.documents_argv(1, tmp_path, auth=True)
