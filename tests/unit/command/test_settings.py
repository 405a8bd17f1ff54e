"""Where the command finds its settings, and what it never prints."""

import json
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enlarger import EnlargerError
from enlarger.command.settings import find_env_file, find_settings, parse_env, read_env_file
from enlarger.command.show import printable
from tests.unit.command.conftest import Invoke
from tests.unit.fake_service import API, TOKEN


def write_env(folder: Path, text: str) -> Path:
    (folder / ".enlarger").mkdir()
    file = folder / ".enlarger" / "env"
    file.write_text(text)
    return file


def test_settings_come_from_the_file_above_where_the_environment_is_silent(enlarger: Invoke, folder: Path) -> None:
    write_env(folder, f"ENLARGER_URL=http://elsewhere.test\nENLARGER_TOKEN={TOKEN}\n")
    assert find_settings({}, folder / "trip/day 2") == ("http://elsewhere.test", TOKEN)
    assert find_settings({"ENLARGER_URL": API}, folder / "trip") == (API, TOKEN)
    assert enlarger("jobs", "ls", environ={"ENLARGER_URL": API}).exit_code == 0


@pytest.mark.parametrize("command", [["jobs", "ls"], ["doctor"], ["upscale", "trip", "-o", "out"]])
def test_missing_settings_exit_2_and_say_what_to_do(enlarger: Invoke, command: list[str]) -> None:
    result = enlarger(*command, environ={"ENLARGER_URL": API})
    assert result.exit_code == 2
    assert "settings_missing: ENLARGER_TOKEN not set" in result.stderr
    assert "make up" in result.stderr


def test_env_can_be_evaluated_by_a_shell_whatever_the_values(enlarger: Invoke, folder: Path) -> None:
    values = {"ENLARGER_URL": API, "A": "two words; echo $HOME `id`", "B_2": 'it\'s "quoted"', "EMPTY": ""}
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    write_env(folder, "\n".join(["# written by make up", "", *lines]))
    script = enlarger("env").stdout + "for n in ENLARGER_URL A B_2 EMPTY; do printenv $n; done"
    out = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert out.stdout.splitlines() == list(values.values())
    assert json.loads(enlarger("env", "--json").stdout) == values


def test_env_without_a_file_says_what_to_do_and_prints_nothing_to_evaluate(enlarger: Invoke) -> None:
    result = enlarger("env")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "make up" in result.stderr


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0")),
    )
)
def test_an_env_file_reads_back_as_it_was_written(values: dict[str, str]) -> None:
    text = "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    assert parse_env(text, "env") == values


@pytest.mark.parametrize("line", ["no assignment", "1X=y", "A=two words", "A='open", "$(id)=x", " A=b"])
def test_a_line_that_assigns_nothing_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    file = write_env(tmp_path, f"A=b\n{line}\n")
    with pytest.raises(EnlargerError, match="env:2 ") as caught:
        read_env_file(file)
    assert caught.value.code == "settings_invalid"


def test_another_users_env_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = write_env(tmp_path, "LD_PRELOAD=evil.so\n").stat().st_uid
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    monkeypatch.setattr("enlarger.command.settings.ROOT_UID", owner + 2)
    with pytest.raises(EnlargerError, match="another user"):
        find_env_file(tmp_path)


@given(st.text())
def test_nothing_from_the_wire_can_control_the_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)


def test_the_version_is_told_without_settings() -> None:
    script = "from enlarger.command import main; main()"
    told = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=True)
    assert (told.stdout, told.stderr) == (f"enlarger {version('enlarger')}\n", "")


def test_the_installed_entry_point_answers_help_without_settings(tmp_path: Path) -> None:
    script = "from enlarger.command import main; main()"
    shown = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True)
    for name in ("upscale", "jobs", "models", "doctor", "env"):
        assert name in shown.stdout
