"""`enlarger sync`: a folder up, its outputs back, and nothing twice."""

import json
import os
import signal
from pathlib import Path

import httpx2
import pytest

from enlarger.command.following import UNSEEN_SECONDS
from tests.unit.command.shell import BOTH, PLACE, Shell, files
from tests.unit.fake_service import away, busy, denied, enlarged


@pytest.mark.parametrize("place", [PLACE, "s3://uploads/trip/@x4", "trip/@x4/", "trip/@x4"])
def test_every_picture_goes_up_under_its_own_name_and_nothing_else_does(shell: Shell, place: str) -> None:
    done = shell.sync(place=place)
    assert (done.exit_code, shell.service.sent()) == (0, BOTH)
    assert done.stdout.splitlines() == [
        "trip/a.jpg -> s3://uploads/trip/@x4/a.jpg",
        "trip/day 2/b.JPG -> s3://uploads/trip/@x4/day 2/b.JPG",
    ]
    assert shell.service.objects["trip/@x4/a.jpg"] == b"first"


def test_a_whole_bucket_is_a_place_too(shell: Shell) -> None:
    assert shell.sync(place="s3://uploads").exit_code == 0
    assert shell.service.sent() == ["a.jpg", "day 2/b.JPG"]


@pytest.mark.parametrize(
    "place",
    ["s3://outputs/trip/", "https://uploads/trip", "s3://uploads//a", "/trip", "jobs/", ".x/", "a/../b", "a//b"],
)
def test_a_place_where_no_pictures_go_is_a_mistake_of_usage(shell: Shell, place: str) -> None:
    done = shell.sync(place=place)
    assert (done.exit_code, shell.service.requests) == (2, [])


@pytest.mark.parametrize("back", ["trip", ".", "trip/day 2/.."])
def test_outputs_never_come_back_where_they_could_replace_pictures(shell: Shell, back: str) -> None:
    done = shell.sync("--back", back)
    assert (done.exit_code, shell.service.requests) == (2, [])
    assert "could replace one" in " ".join(done.stderr.replace("│", "").split())


def test_with_wait_and_back_the_tree_comes_back_enlarged(shell: Shell, folder: Path) -> None:
    done = shell.sync("--wait", "--back", "out")
    assert (done.exit_code, done.stderr) == (0, "2 sent, 0 there already, 2 fetched\n")
    assert files(folder / "out") == {"a.jpg": enlarged(b"first"), "day 2/b.JPG": enlarged(b"second")}


def test_the_second_time_nothing_is_sent_and_nothing_is_fetched(shell: Shell) -> None:
    shell.sync("--wait", "--back", "out")
    before = len(shell.service.requests)
    done = shell.sync("--wait", "--back", "out", "--json")
    assert done.exit_code == 0
    assert {(one["action"], one["fetched"]) for one in json.loads(done.stdout)["items"]} == {("there", False)}
    assert [one.url.path for one in shell.service.requests[before:]] == ["/v1/jobs"]


def test_what_has_changed_is_sent_and_fetched_alone(shell: Shell, folder: Path) -> None:
    shell.sync("--wait", "--back", "out")
    (folder / "trip/a.jpg").write_bytes(b"later")  # as many bytes
    (folder / "out/day 2/b.JPG").write_bytes(b"touched by somebody")
    done = shell.sync("--wait", "--back", "out")
    assert done.stderr == "1 sent, 1 there already, 2 fetched\n"
    assert shell.service.sent() == sorted([*BOTH, "trip/@x4/a.jpg"])
    assert files(folder / "out") == {"a.jpg": enlarged(b"later"), "day 2/b.JPG": enlarged(b"second")}


def test_a_job_that_is_under_way_is_waited_for_and_not_sent_again(shell: Shell, folder: Path) -> None:
    shell.sync()
    done = shell.sync("--wait", "--back", "out")
    assert (done.exit_code, shell.service.sent()) == (0, BOTH)
    assert files(folder / "out") == {"a.jpg": enlarged(b"first"), "day 2/b.JPG": enlarged(b"second")}


@pytest.mark.parametrize("status", ["failed", "canceled", "expired"])
def test_what_ended_badly_is_sent_again_and_its_old_job_is_not_taken_for_the_new_one(shell: Shell, status: str) -> None:
    shell.sync()
    for job in shell.service.jobs.values():
        job["status"] = status
    done = shell.sync("--wait")
    assert (done.exit_code, done.stderr) == (0, "2 sent, 0 there already, 0 fetched\n")


@pytest.mark.parametrize(("size", "sent"), [(5, ["trip/@x4/day 2/b.JPG"]), (6, BOTH)])
def test_where_the_etag_is_no_md5_the_size_decides(shell: Shell, size: int, sent: list[str]) -> None:
    shell.service.put("trip/@x4/a.jpg", etag="0f343b0931126a20f133d67c2b018a3b-2", size_bytes=size)
    shell.sync()
    assert shell.service.sent() == sent


def test_a_dry_run_tells_what_would_be_sent_and_sends_nothing(shell: Shell) -> None:
    done = shell.sync("--dry-run", "--wait", "--back", "out")
    assert done.stdout.splitlines()[0] == "trip/a.jpg -> s3://uploads/trip/@x4/a.jpg"
    assert shell.service.sent() == []
    told = json.loads(shell.sync("--dry-run", "--json").stdout)["items"]
    assert [(one["key"], one["action"]) for one in told] == [(key, "would_send") for key in BOTH]


def test_each_failure_is_named_with_its_code_and_the_others_come_back(shell: Shell, folder: Path) -> None:
    (folder / "trip/bad.jpg").write_bytes(b"refused by name")
    (folder / "trip/empty.png").write_bytes(b"")
    (folder / "trip/text.png").write_bytes(b"no picture")
    done = shell.sync("--wait", "--back", "out", "--json")
    assert done.exit_code == 1
    told = {Path(one["photo"]).name: one for one in json.loads(done.stdout)["items"]}
    codes = {name: one["error"] and one["error"]["code"] for name, one in told.items()}
    assert codes == {
        "a.jpg": None, "b.JPG": None,
        "bad.jpg": "request_invalid", "empty.png": "image_empty", "text.png": "format_unsupported",
    }  # fmt: skip
    assert files(folder / "out").keys() == {"a.jpg", "day 2/b.JPG"}
    again = shell.sync("--wait")
    assert (again.exit_code, "format_unsupported" in again.stderr, "Send one." in again.stderr) == (1, True, True)


@pytest.mark.parametrize("args", [(), ("--dry-run",)])
def test_a_mistake_in_the_prefix_is_told_once_and_not_for_each_picture(shell: Shell, args: tuple[str, ...]) -> None:
    done = shell.sync(*args, place="bad/@x44x/")
    assert (done.exit_code, done.stderr.count("request_invalid")) == (1, 1)
    assert len(shell.service.asked("POST", "/v1/objects")) == 1


def test_a_pipe_is_no_picture_whatever_its_name(shell: Shell, folder: Path) -> None:
    os.mkfifo(folder / "trip/pipe.jpg")
    assert shell.sync().exit_code == 0
    assert shell.service.sent() == BOTH


def test_a_name_that_no_key_can_have_harms_no_other(shell: Shell, folder: Path) -> None:
    (folder / "trip" / b"caf\xe9.jpg".decode(errors="surrogateescape")).write_bytes(b"x")
    done = shell.sync()
    assert (done.exit_code, shell.service.sent()) == (1, BOTH)
    assert "file_unusable" in done.stderr


def test_an_output_in_another_format_and_further_ones_keep_the_names_of_the_bucket(shell: Shell, folder: Path) -> None:
    shell.service.further = [{"role": "extra", "key": "trip/@webp/a.jpg.w800.webp"}]
    done = shell.sync("--wait", "--back", "out", place="trip/@webp")
    assert files(folder / "out").keys() == {"a.jpg.webp", "day 2/b.JPG.webp"}
    assert "a further output lies in the bucket, outputs/trip/@webp/a.jpg.w800.webp" in done.stderr


@pytest.mark.parametrize("key", ["elsewhere/a.jpg", "trip/@x4/../../a.jpg", "trip/@x4//etc/a.jpg", "trip/@x4/"])
def test_an_output_that_would_land_outside_the_folder_is_refused(shell: Shell, folder: Path, key: str) -> None:
    shell.sync("--wait")
    for job in shell.service.jobs.values():
        job["outputs"][0]["key"] = key
    done = shell.sync("--back", "out")
    assert (done.exit_code, "answer_invalid" in done.stderr) == (1, True)
    assert files(folder).keys() == {"trip/a.jpg", "trip/day 2/b.JPG", "trip/notes.txt", "trip/.hidden.jpg"}


def test_outputs_inside_the_folder_and_folders_of_machines_are_no_pictures(shell: Shell, folder: Path) -> None:
    (folder / "trip/@eaDir").mkdir()
    (folder / "trip/@eaDir/thumb.jpg").write_bytes(b"thumb")
    (folder / "trip/.cache").mkdir()
    (folder / "trip/.cache/c.jpg").write_bytes(b"cached")
    for _ in range(2):
        assert shell.sync("--wait", "--back", "trip/big").exit_code == 0
    assert shell.service.sent() == BOTH


def test_an_upload_that_no_job_is_made_of_is_told_after_two_minutes(shell: Shell) -> None:
    shell.service.blind = True
    done = shell.sync("--wait")
    assert (done.exit_code, done.stderr.count("upload_unseen")) == (1, 2)
    assert UNSEEN_SECONDS < shell.time.now < UNSEEN_SECONDS + 10


def test_a_service_that_restarts_while_jobs_are_waited_for_is_outlasted(shell: Shell) -> None:
    shell.sync()
    shell.service.once("GET", "/v1/jobs", lambda _: None)  # the look before anything is sent
    for _ in range(13):
        shell.service.once("GET", "/v1/jobs", away)
    assert shell.sync("--wait").exit_code == 0


def test_a_service_that_stays_away_is_given_up(shell: Shell) -> None:
    shell.sync()
    shell.service.once("GET", "/v1/jobs", lambda _: None)
    for _ in range(400):
        shell.service.once("GET", "/v1/jobs", away)
    done = shell.sync("--wait")
    assert (done.exit_code, done.stderr.count("service_unreachable")) == (1, 2)


def test_busy_answers_and_cut_connections_on_the_way_are_tried_again(shell: Shell) -> None:
    shell.service.once("POST", "/v1/objects", busy("7"))
    shell.service.once("PUT", "/uploads", busy(status=503))
    shell.service.once("GET", "/outputs", away)
    assert shell.sync("--wait", "--back", "out").exit_code == 0
    assert 7.0 in shell.time.slept


def test_what_the_store_refuses_fails_alone_and_the_next_run_sends_it(shell: Shell) -> None:
    shell.service.once("PUT", "a.jpg", denied)
    done = shell.sync("--wait")
    assert (done.exit_code, done.stderr.count("upload_refused")) == (1, 1)
    assert shell.sync("--wait").exit_code == 0
    assert shell.service.objects.keys() == set(BOTH)


def test_many_pictures_are_signed_a_hundred_at_a_time_and_all_pages_of_jobs_are_read(
    shell: Shell, folder: Path
) -> None:
    (folder / "many").mkdir()
    for number in range(205):
        (folder / f"many/{number:03}.png").write_bytes(b"%d" % number)
    done = shell.sync("--wait", "--back", "out", "--jobs", "8", folder="many")
    assert done.stderr == "205 sent, 0 there already, 205 fetched\n"
    assert len(shell.service.asked("POST", "/v1/objects")) == 1 + 3  # one asks whether anything may go there
    assert len(files(folder / "out")) == 205


def test_an_interrupt_leaves_no_half_files_and_the_next_run_goes_on(shell: Shell, folder: Path) -> None:
    shell.sync("--wait")

    def interrupted(_: httpx2.Request) -> None:
        signal.raise_signal(signal.SIGINT)

    shell.service.once("GET", "/outputs", interrupted)
    done = shell.sync("--back", "out")
    assert done.exit_code == 130
    assert "run it again" in done.stderr
    assert [name for name in files(folder) if ".part" in name] == []
    assert shell.sync("--back", "out").exit_code == 0
    assert files(folder / "out") == {"a.jpg": enlarged(b"first"), "day 2/b.JPG": enlarged(b"second")}
