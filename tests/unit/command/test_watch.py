"""`enlarger watch`: what lands in a folder goes up once it is whole, and nothing is lost."""

import hashlib
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
from tests.unit.command.shell import BOTH, EPOCH, Shell, Step, files, puts
from tests.unit.fake_service import enlarged


def test_what_is_there_at_the_start_goes_up_and_comes_back(shell: Shell, folder: Path) -> None:
    done = shell.watch()
    assert (done.exit_code, done.stderr, shell.service.sent()) == (0, "", BOTH)
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
    assert shell.service.sent() == BOTH
    assert files(folder / "out").keys() == {"a.jpg", "day 2/b.JPG"}


@pytest.mark.parametrize("command", ["watch", "sync"])
def test_a_job_that_is_much_older_than_the_newest_comes_back_too(shell: Shell, folder: Path, command: str) -> None:
    body = (folder / "trip/a.jpg").read_bytes()
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    old = shell.service.put(BOTH[0], etag=etag, size_bytes=len(body))
    shell.service.objects[BOTH[0]] = body
    between, *_ = (shell.service.put(f"trip/@x4/{n}.jpg", etag="e", size_bytes=1, status="failed") for n in range(4))
    old["created_at"], between["created_at"] = "2025-12-31T12:00:00Z", "2025-12-31T13:00:00Z"
    done = shell.watch() if command == "watch" else shell.sync("--wait", "--back", "out")
    assert (done.exit_code, "upload_unseen" in done.stderr, shell.service.sent()) == (0, False, BOTH[1:])
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
    assert shell.service.sent() == sorted([*BOTH, "trip/@x4/album/1.png", "trip/@x4/album/deep/2.png"])


@pytest.mark.parametrize("name", ["notes.txt", ".a.jpg.x8Kq", ".cache/c.jpg", "@eaDir/d.jpg", "big/a.jpg", "x.part"])
def test_what_is_no_picture_of_the_folder_stays(shell: Shell, write: Callable[..., Step], name: str) -> None:
    done = shell.watch(set, write(name, b"x", old_seconds=9), args=("--back", "trip/big"))
    assert (done.exit_code, shell.service.sent()) == (0, BOTH)


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
        older, *_ = (job for job in shell.service.jobs.values() if job["source"]["key"] == BOTH[0])
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


def test_with_json_each_event_is_one_line(shell: Shell) -> None:
    told = [json.loads(line) for line in shell.watch(args=("--json", "--back", "out")).stdout.splitlines()]
    assert [(one["event"], one["status"]) for one in told] == [("sent", None)] * 2 + [("fetched", "succeeded")] * 2


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


def test_a_folder_that_is_not_there_is_a_mistake_of_usage(enlarger: Invoke) -> None:
    assert enlarger("watch", "nowhere", "trip/").exit_code == 2
