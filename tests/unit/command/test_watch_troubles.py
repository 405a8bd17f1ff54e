"""`enlarger watch` where something fails: what passes is tried again, what does not is told."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.unit.command.shell import BOTH, Shell, Step, files, puts
from tests.unit.fake_service import away, busy, denied, enlarged, refused


def test_no_picture_is_lost_while_the_service_is_away(shell: Shell, folder: Path, write: Callable[..., Step]) -> None:
    def stop() -> set[Path]:
        for method, path in (("POST", "/v1/objects"), ("GET", "/v1/jobs")):
            for _ in range(20):
                shell.service.once(method, path, away)
        return set()

    done = shell.watch(stop, write("new.png", b"x", old_seconds=9), ticks=300)
    assert done.exit_code == 0
    assert files(folder / "out").keys() == {"a.jpg", "day 2/b.JPG", "new.png"}
    later = [line for line in done.stderr.splitlines() if "new.png" in line]
    assert len(later) == 1
    assert later[0].endswith("it is tried again")


@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        ("PUT", "a.jpg", denied),
        ("GET", "/result", lambda _: refused(503, "storage_unavailable", "Away.", "Wait.")),
        ("GET", "/outputs", denied),
        ("POST", "/v1/objects", busy("3")),
    ],
)
def test_what_fails_once_is_tried_again(
    shell: Shell, folder: Path, method: str, path: str, fault: Callable[[httpx2.Request], httpx2.Response]
) -> None:
    def broken() -> set[Path]:
        for _ in range(7):
            shell.service.once(method, path, fault)
        return set()

    assert shell.watch(broken, ticks=200).exit_code == 0
    assert files(folder / "out") == {"a.jpg": enlarged(b"first"), "day 2/b.JPG": enlarged(b"second")}


def test_a_job_is_waited_for_however_long_the_service_is_away(shell: Shell, folder: Path) -> None:
    def stop() -> set[Path]:
        for _ in range(60 * 6):
            shell.service.once("GET", "/v1/jobs", away)
        return set()

    done = shell.watch(set, stop, ticks=300)
    assert shell.time.now > 300
    assert (done.exit_code, done.stderr) == (0, "")
    assert files(folder / "out").keys() == {"a.jpg", "day 2/b.JPG"}


def test_tries_of_what_cannot_be_done_come_further_and_further_apart(shell: Shell) -> None:
    """120 seconds: after 2, 4, 8, 16, 32 and 60."""

    def refuse() -> set[Path]:
        for _ in range(100):
            shell.service.once("PUT", "a.jpg", denied)
        return set()

    done = shell.watch(refuse, ticks=120)
    assert (len(puts(shell, "a.jpg")), done.stderr.count("tried again")) == (6, 1)


def test_a_picture_that_fails_is_told_once_and_again_only_when_it_changes(
    shell: Shell, folder: Path, write: Callable[..., Step]
) -> None:
    bad, wait = write("c.png", b"no picture", old_seconds=9), [set] * 70
    done = shell.watch(set, bad, *wait, write("c.png", b"mended", old_seconds=9), *wait)
    assert done.stderr.splitlines() == [
        f"{folder.resolve()}/trip/c.png: format_unsupported: It is no picture.: Send one."
    ]
    assert (folder / "out/c.png").read_bytes() == enlarged(b"mended")


def test_a_refused_key_is_told_and_harms_no_other(shell: Shell, write: Callable[..., Step]) -> None:
    done = shell.watch(write("bad.png", b"x", old_seconds=9), args=("--json",))
    told = [json.loads(line) for line in done.stdout.splitlines()]
    codes = {one["key"]: (one["event"], one["error"] and one["error"]["code"]) for one in told}
    assert codes == dict.fromkeys(BOTH, ("sent", None)) | {"trip/@x4/bad.png": ("failed", "request_invalid")}


def test_who_is_not_let_in_any_more_is_told_so_and_the_command_ends(shell: Shell, write: Callable[..., Step]) -> None:
    def revoked() -> set[Path]:
        shell.service.once("POST", "/v1/objects", lambda _: refused(401, "token_invalid", "Unknown.", "Send another."))
        return write("new.png", b"x", old_seconds=9)()

    done = shell.watch(*[set] * 3, revoked)
    assert (done.exit_code, "token_invalid" in done.stderr) == (1, True)


@pytest.mark.parametrize("place", ["bad/@x44x/", "trip/@x4/"])
def test_a_place_or_a_service_that_is_wrong_is_told_at_the_start(shell: Shell, place: str) -> None:
    if "bad" not in place:
        for _ in range(6):
            shell.service.once("POST", "/v1/objects", away)
    done = shell("watch", "trip", place, steps=(set,))
    code = "request_invalid" if "bad" in place else "service_unreachable"
    assert (done.exit_code, code in done.stderr, shell.service.sent()) == (1, True, [])
