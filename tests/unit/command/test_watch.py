"""`enlarger watch`: what lands in a folder goes up once it is whole, and nothing is lost."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from enlarger.command.landing import SCAN_SECONDS, SETTLE_SECONDS, changes
from tests.unit.command.conftest import Invoke
from tests.unit.command.shell import EPOCH, Shell, Step, files
from tests.unit.fake_service import away, busy, denied, enlarged, refused

START = ["trip/@x4/a.jpg", "trip/@x4/day 2/b.JPG"]


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


def puts(shell: Shell, name: str) -> list[bytes]:
    return [one.content for one in shell.service.asked("PUT", name)]


def test_what_is_there_at_the_start_goes_up_and_comes_back(shell: Shell, folder: Path) -> None:
    done = shell.watch()
    assert (done.exit_code, done.stderr, shell.service.sent()) == (0, "", START)
    assert files(folder / "out") == {"a.jpg": enlarged(b"first"), "day 2/b.JPG": enlarged(b"second")}
    trip, out = folder.resolve() / "trip", folder.resolve() / "out"
    assert set(done.stdout.splitlines()) == {
        f"{trip}/a.jpg -> s3://uploads/trip/@x4/a.jpg",
        f"{trip}/day 2/b.JPG -> s3://uploads/trip/@x4/day 2/b.JPG",
        f"{out}/a.jpg",
        f"{out}/day 2/b.JPG",
    }


def test_a_second_watch_sends_and_fetches_nothing_again(shell: Shell) -> None:
    shell.watch()
    before = len(shell.service.requests)
    assert shell.watch().stdout == ""
    assert [one.url.path for one in shell.service.requests[before:]] == ["/v1/objects", "/v1/jobs"]


def test_jobs_that_were_under_way_at_the_start_come_back_too(shell: Shell, folder: Path) -> None:
    shell.sync()
    assert shell.watch().exit_code == 0
    assert shell.service.sent() == START
    assert files(folder / "out").keys() == {"a.jpg", "day 2/b.JPG"}


def test_a_picture_that_lands_goes_up_once_when_nobody_writes_to_it_any_more(
    shell: Shell, folder: Path, write: Callable[..., Step]
) -> None:
    parts = [write("new.jpg", b"part" * count) for count in (1, 2, 3)]
    quiet: list[int] = []

    def look() -> set[Path]:
        quiet.append(len(puts(shell, "new.jpg")))
        return set()

    done = shell.watch(set, *parts, *[look] * int(SETTLE_SECONDS + 1))
    assert quiet == [0, 0, 1]
    assert (done.exit_code, puts(shell, "new.jpg")) == (0, [b"partpartpart"])
    assert (folder / "out/new.jpg").read_bytes() == enlarged(b"partpartpart")


def test_a_picture_that_was_renamed_into_the_folder_is_whole_at_once(shell: Shell, write: Callable[..., Step]) -> None:
    seen: list[list[bytes]] = []

    def look() -> set[Path]:
        seen.append(puts(shell, "moved.png"))
        return set()

    shell.watch(set, write("moved.png", b"whole", old_seconds=SETTLE_SECONDS), look)
    assert seen == [[b"whole"]]


def test_a_picture_with_a_stamp_of_tomorrow_goes_up_too(shell: Shell, write: Callable[..., Step]) -> None:
    shell.watch(set, write("late.png", b"x", old_seconds=-86_400))
    assert puts(shell, "late.png") == [b"x"]


def test_an_empty_file_waits_for_its_bytes_and_one_that_goes_away_is_forgotten(
    shell: Shell, folder: Path, write: Callable[..., Step]
) -> None:
    def gone() -> set[Path]:
        (folder / "trip/gone.png").unlink()
        return set()

    wait = [set] * 5
    done = shell.watch(
        write("e.png", b"", old_seconds=9), write("gone.png", b"x"), gone, *wait, write("e.png", b"now"), *wait
    )
    assert (puts(shell, "e.png"), puts(shell, "gone.png"), done.stderr) == ([b"now"], [], "")


def test_all_pictures_of_a_folder_that_is_moved_in_go_up(shell: Shell, folder: Path) -> None:
    (folder / "album/deep").mkdir(parents=True)
    for name in ("album/1.png", "album/deep/2.png", "album/.3.png"):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (EPOCH - 60, EPOCH - 60))

    def moved() -> set[Path]:
        shutil.move(folder / "album", folder / "trip/album")
        return {folder.resolve() / "trip/album"}  # of what lies in there the system tells nothing

    shell.watch(set, moved)
    assert shell.service.sent() == sorted([*START, "trip/@x4/album/1.png", "trip/@x4/album/deep/2.png"])


@pytest.mark.parametrize("name", ["notes.txt", ".a.jpg.x8Kq", ".cache/c.jpg", "@eaDir/d.jpg", "big/a.jpg", "x.part"])
def test_what_is_no_picture_of_the_folder_stays(shell: Shell, write: Callable[..., Step], name: str) -> None:
    done = shell.watch(set, write(name, b"x", old_seconds=9), args=("--back", "trip/big"))
    assert (done.exit_code, shell.service.sent()) == (0, START)


def test_what_was_only_touched_is_not_sent_again(shell: Shell, write: Callable[..., Step]) -> None:
    shell.watch(*[set] * 9, write("a.jpg", b"first"), *[set] * 5)
    assert puts(shell, "a.jpg") == [b"first"]


def test_a_changed_picture_goes_up_again_and_its_output_is_replaced(
    shell: Shell, folder: Path, write: Callable[..., Step]
) -> None:
    done = shell.watch(*[set] * 9, write("a.jpg", b"other"), *[set] * 9)
    assert (done.stderr, (folder / "out/a.jpg").read_bytes()) == ("", enlarged(b"other"))


def test_a_picture_that_is_overwritten_while_its_job_is_under_way_ends_as_the_newer_one(
    shell: Shell, folder: Path, write: Callable[..., Step]
) -> None:
    def superseded() -> set[Path]:
        older, *_ = (job for job in shell.service.jobs.values() if job["source"]["key"] == START[0])
        older |= {"status": "canceled", "status_reason": "superseded"}
        return set()

    shell.service.steps = ("queued", "processing", "publishing", "succeeded")
    old = SETTLE_SECONDS
    done = shell.watch(
        write("a.jpg", b"older", old_seconds=old), write("a.jpg", b"newer", old_seconds=old), superseded, *[set] * 60
    )
    assert (done.stderr, (folder / "out/a.jpg").read_bytes()) == ("", enlarged(b"newer"))


def test_what_nobody_told_of_is_found_within_a_minute(shell: Shell, write: Callable[..., Step]) -> None:
    lost = write("lost.png", b"x", told=False)
    shell.watch(set, lost, *[set] * int(SCAN_SECONDS + SETTLE_SECONDS))
    assert puts(shell, "lost.png") == [b"x"]


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
    assert codes == dict.fromkeys(START, ("sent", None)) | {"trip/@x4/bad.png": ("failed", "request_invalid")}


def test_with_json_each_event_is_one_line(shell: Shell) -> None:
    told = [json.loads(line) for line in shell.watch(args=("--json", "--back", "out")).stdout.splitlines()]
    assert [(one["event"], one["status"]) for one in told] == [("sent", None)] * 2 + [("fetched", "succeeded")] * 2


def test_who_is_not_let_in_any_more_is_told_so_and_the_command_ends(shell: Shell, write: Callable[..., Step]) -> None:
    def revoked() -> set[Path]:
        shell.service.once("POST", "/v1/objects", lambda _: refused(401, "token_invalid", "Unknown.", "Send another."))
        return write("new.png", b"x", old_seconds=9)()

    done = shell.watch(*[set] * 3, revoked)
    assert (done.exit_code, "token_invalid" in done.stderr) == (1, True)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("during", ["idle", "upload", "download"])
def test_it_stops_cleanly_when_it_is_told_to(shell: Shell, folder: Path, kind: signal.Signals, during: str) -> None:
    def stop(*_: object) -> set[Path]:
        signal.raise_signal(kind)
        raise AssertionError("the signal was not taken")

    def stopped(_: httpx2.Request) -> None:
        signal.raise_signal(kind)

    before = signal.getsignal(signal.SIGTERM)
    if during != "idle":
        method, path = {"upload": ("PUT", "a.jpg"), "download": ("GET", "/outputs")}[during]
        shell.service.once(method, path, stopped)
    done = shell.watch(*([stop] if during == "idle" else []), ticks=30)
    assert done.exit_code == 0
    assert signal.getsignal(signal.SIGTERM) == before
    assert [name for name in files(folder) if name.endswith(".part")] == []
    assert shell.watch(ticks=30).exit_code == 0
    assert files(folder / "out") == {"a.jpg": enlarged(b"first"), "day 2/b.JPG": enlarged(b"second")}


def test_the_system_tells_of_what_lands(tmp_path: Path) -> None:
    """The real watcher: its first step shows that it listens."""
    told = changes(tmp_path)
    assert next(told) == set()
    (tmp_path / "new.jpg").write_bytes(b"x")
    (tmp_path / "new.jpg").rename(tmp_path / "named.jpg")
    seen: set[Path] = set()
    for found in told:
        seen |= found
        if tmp_path / "named.jpg" in seen:
            break
    assert tmp_path / "named.jpg" in seen


@pytest.mark.parametrize("place", ["bad/@x44x/", "trip/@x4/"])
def test_a_place_or_a_service_that_is_wrong_is_told_at_the_start(shell: Shell, place: str) -> None:
    if "bad" not in place:
        for _ in range(6):
            shell.service.once("POST", "/v1/objects", away)
    done = shell("watch", "trip", place, steps=(set,))
    code = "request_invalid" if "bad" in place else "service_unreachable"
    assert (done.exit_code, code in done.stderr, shell.service.sent()) == (1, True, [])


def test_a_folder_that_is_not_there_is_a_mistake_of_usage(enlarger: Invoke) -> None:
    assert enlarger("watch", "nowhere", "trip/").exit_code == 2
