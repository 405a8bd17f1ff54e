"""`enlarger upscale`: files in, files out, options, failures, and how it stops."""

import io
import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from enlarger import Job
from enlarger.command import wishes
from enlarger.command.bars import bars
from enlarger.command.errands import Errand, Outcome, Watch, plan, stage
from enlarger.command.notes import MEANINGS
from enlarger.command.upscale import run_all
from pipeline import option_values
from pipeline.options import parse
from tests.unit.command.conftest import Invoke
from tests.unit.fake_service import FakeService, busy, denied, enlarged


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_photographs_come_out_enlarged_under_names_that_say_so(enlarger: Invoke, folder: Path) -> None:
    result = enlarger("upscale", "trip/a.jpg", "-o", "out")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "out/a-x4.jpg\n", "")
    assert files(folder / "out") == {"a-x4.jpg": enlarged(b"first")}


def test_a_folder_keeps_its_tree_and_only_its_pictures(enlarger: Invoke, folder: Path) -> None:
    result = enlarger("upscale", "trip", "-o", "out", "--jobs", "2")
    assert result.stdout.splitlines() == ["out/a-x4.jpg", "out/day 2/b-x4.JPG"]
    assert files(folder / "out") == {"a-x4.jpg": enlarged(b"first"), "day 2/b-x4.JPG": enlarged(b"second")}


def test_an_output_folder_inside_the_input_is_no_input(enlarger: Invoke) -> None:
    assert enlarger("upscale", "trip", "-o", "trip/big").exit_code == 0
    again = enlarger("upscale", "trip", "-o", "trip/big", "--force")
    assert again.stdout.splitlines() == ["trip/big/a-x4.jpg", "trip/big/day 2/b-x4.JPG"]


def test_every_option_reaches_the_service(enlarger: Invoke, service: FakeService) -> None:
    enlarger(
        "upscale",
        "trip/a.jpg",
        "-o",
        "out",
        *["--scale", "1.5", "--min", "100", "--max", "900", "--model", "lanczos", "--preset", "photo"],
        *["--denoise", "low", "--strength", "80", "--format", "jpg", "--quality", "80", "--lossless"],
        *["--metadata", "keep-gps", "--gray", "--precision", "fast", "--face", "60"],
        *["--also", "jpg", "--also", "webp:800:80", "--also", "avif::60", "--also", ":640"],
    )
    (request,) = service.asked("POST", "/v1/uploads")
    wanted = {
        "scale": 1.5, "min": 100, "max": 900, "model": "lanczos", "preset": "photo", "denoise": "low", "strength": 80,
        "format": "jpeg", "quality": 80, "lossless": True, "metadata": "keep-gps", "gray": True, "precision": "fast",
        "face": 60,
        "outputs": [
            {"format": "jpeg"}, {"format": "webp", "width": 800, "quality": 80}, {"format": "avif", "quality": 60},
            {"width": 640},
        ],
    }  # fmt: skip
    assert parse(wanted)
    assert json.loads(request.content)["options"] == wanted


def test_what_was_not_asked_for_is_left_to_the_service(enlarger: Invoke, service: FakeService) -> None:
    enlarger("upscale", "trip/a.jpg", "-o", "out")
    (request,) = service.asked("POST", "/v1/uploads")
    assert json.loads(request.content)["options"] == {"scale": 4}


@pytest.mark.parametrize(
    ("args", "size", "name"),
    [
        (["--width", "800"], {"width": 800}, "a-w800.jpg"),
        (["--width", "800", "--height", "600"], {"width": 800, "height": 600}, "a-w800-h600.jpg"),
        (["--fit", "800x600"], {"fit": "800x600"}, "a-fit800x600.jpg"),
        (["--max", "4096"], {"max": 4096}, "a-max4096.jpg"),
        (["--scale", "2", "--max", "4096"], {"scale": 2, "max": 4096}, "a-x2-max4096.jpg"),
    ],
)
def test_another_size_takes_the_place_of_the_scale_and_stands_in_the_name(
    enlarger: Invoke, service: FakeService, args: list[str], size: dict[str, Any], name: str
) -> None:
    assert enlarger("upscale", "trip/a.jpg", "-o", "out", *args).stdout == f"out/{name}\n"
    (request,) = service.asked("POST", "/v1/uploads")
    assert json.loads(request.content)["options"] == size
    assert parse(size)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (wishes.Preset, option_values.Preset),
        (wishes.Metadata, option_values.Metadata),
        (wishes.Precision, option_values.Precision),
    ],
)
def test_the_command_offers_what_the_service_takes(mine: type[StrEnum], theirs: Any) -> None:
    assert {word.value for word in mine} == set(get_args(theirs))


def test_an_output_in_another_format_gets_that_formats_ending(enlarger: Invoke, folder: Path) -> None:
    (folder / "c.bmp").write_bytes(b"third")
    assert enlarger("upscale", "c.bmp", "-o", "out").stdout == "out/c-x4.jpg\n"


def test_an_existing_file_is_kept_unless_forced(enlarger: Invoke, folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/a-x4.jpg").write_bytes(b"precious")
    refused = enlarger("upscale", "trip/a.jpg", "-o", "out")
    assert refused.exit_code == 1
    assert "output_exists" in refused.stderr
    assert files(folder / "out") == {"a-x4.jpg": b"precious"}
    assert enlarger("upscale", "trip/a.jpg", "-o", "out", "--force").exit_code == 0
    assert files(folder / "out") == {"a-x4.jpg": enlarged(b"first")}


def test_an_existing_file_of_the_true_format_is_kept_too(enlarger: Invoke, folder: Path) -> None:
    (folder / "c.bmp").write_bytes(b"third")
    (folder / "out").mkdir()
    (folder / "out/c-x4.jpg").write_bytes(b"precious")
    assert enlarger("upscale", "c.bmp", "-o", "out").exit_code == 1
    assert files(folder / "out") == {"c-x4.jpg": b"precious"}


def test_a_refused_overwrite_uploads_nothing(enlarger: Invoke, service: FakeService, folder: Path) -> None:
    (folder / "trip/a-x4.jpg").touch()
    enlarger("upscale", "trip/a.jpg", "-o", "trip")
    assert service.requests == []


def test_two_photographs_never_become_one_file(enlarger: Invoke, folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"other")
    result = enlarger("upscale", "trip/a.jpg", "a.jpg", "-o", "out", "--force")
    assert result.exit_code == 1
    assert result.stdout == "out/a-x4.jpg\n"
    assert "output_conflict" in result.stderr
    assert files(folder / "out") == {"a-x4.jpg": enlarged(b"first")}


def test_one_failure_leaves_the_others_done_and_says_why(enlarger: Invoke, service: FakeService, folder: Path) -> None:
    service.once("PUT", "/uploads/", denied)
    result = enlarger("upscale", "trip", "-o", "out", "--jobs", "1")
    assert result.exit_code == 1
    assert list(files(folder / "out")) == ["day 2/b-x4.JPG"]
    for said in ("trip/a.jpg", "upload_refused", "Request has expired", "Try again"):
        assert said in result.stderr


def test_a_failed_job_exits_1_with_its_code_and_hint(enlarger: Invoke, service: FakeService, folder: Path) -> None:
    service.path_of_job = ("queued", "failed")
    service.failure = {"code": "image_truncated", "detail": "It ends early.", "hint": "Send it whole."}
    result = enlarger("upscale", "trip/a.jpg", "-o", "out", "--json")
    (item,) = json.loads(result.stdout)["items"]
    assert result.exit_code == 1
    assert item["error"] == service.failure
    assert item["job_id"] in service.jobs
    assert item["output"] is None
    assert not (folder / "out").exists()


def test_a_download_that_is_not_the_output_fails_and_writes_nothing(
    enlarger: Invoke, service: FakeService, folder: Path
) -> None:
    service.once("GET", "/outputs/", lambda _: httpx2.Response(200, content=b"junk"))
    result = enlarger("upscale", "trip/a.jpg", "-o", "out")
    assert result.exit_code == 1
    assert "output_corrupt" in result.stderr
    assert files(folder / "out") == {}


def test_a_photograph_that_cannot_be_sent_fails_alone(enlarger: Invoke, folder: Path) -> None:
    (folder / "out").write_text("a file where a folder should be")
    (folder / "gone.jpg").symlink_to("nowhere")
    result = enlarger("upscale", ".", "-o", "elsewhere")
    assert result.exit_code == 1
    assert "file_unusable" in result.stderr
    assert len(files(folder / "elsewhere")) == 2


def test_a_busy_service_is_no_failure(enlarger: Invoke, service: FakeService) -> None:
    service.once("POST", "/v1/uploads", busy("3"))
    assert enlarger("upscale", "trip", "-o", "out").exit_code == 0


def test_results_as_json_name_photograph_output_and_job(enlarger: Invoke, service: FakeService) -> None:
    result = enlarger("upscale", "trip/a.jpg", "-o", "out", "--json")
    (job_id,) = service.jobs
    wanted = {"photo": "trip/a.jpg", "output": "out/a-x4.jpg", "job_id": job_id, "error": None}
    assert json.loads(result.stdout) == {"items": [wanted | {"notes": [], "further": []}]}


def test_what_there_is_to_know_of_a_result_goes_to_stderr_in_words(enlarger: Invoke, service: FakeService) -> None:
    service.notes = ["depth_reduced", "tomorrow"]
    service.further = [{"role": "extra", "key": "a.jpg.webp", "format": "webp"}]
    result = enlarger("upscale", "trip/a.jpg", "-o", "out")
    assert (result.exit_code, result.stdout) == (0, "out/a-x4.jpg\n")
    assert result.stderr.splitlines() == [
        f"trip/a.jpg: {MEANINGS['depth_reduced']}",
        "trip/a.jpg: the service notes tomorrow",
        "trip/a.jpg: a further output lies in the bucket, outputs/a.jpg.webp",
    ]
    again = enlarger("upscale", "trip/a.jpg", "-o", "out", "--force", "--json")
    (item,) = json.loads(again.stdout)["items"]
    assert (item["notes"], item["further"], again.stderr) == (service.notes, ["outputs/a.jpg.webp"], "")


def test_every_note_that_the_docs_list_has_a_meaning() -> None:
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| `notes` |"))
    assert {word for word in re.findall("`([a-z_]+)`", row) if "_" in word} == MEANINGS.keys()


@pytest.mark.parametrize("text", ["", "::", "webp:wide", "webp:8:9:10", "webp:8:x", "webp:-8", "webp:8:9:"])
def test_a_further_output_that_cannot_be_read_is_a_usage_error(
    enlarger: Invoke, service: FakeService, text: str
) -> None:
    result = enlarger("upscale", "trip/a.jpg", "-o", "out", "--also", text)
    assert (result.exit_code, service.requests) == (2, [])


def test_an_interrupt_stops_what_has_not_begun(enlarger: Invoke, service: FakeService) -> None:
    def interrupt(_: httpx2.Request) -> httpx2.Response:
        raise KeyboardInterrupt

    service.once("GET", "/v1/jobs/", interrupt)
    result = enlarger("upscale", "trip", "-o", "out", "--jobs", "1")
    assert result.exit_code == 130
    assert "enlarger jobs ls" in result.stderr
    assert len(service.uploads) == 1


@contextmanager
def unwatched(_: Path) -> Iterator[Watch]:
    yield lambda stage, share: None


def until_stopped(watch: Watch) -> None:
    """Work for five seconds, unless *watch* raises."""
    for _ in range(500):
        watch("enlarge", None)
        threading.Event().wait(0.01)


def test_an_interrupted_photograph_stops_those_beside_and_behind_it() -> None:
    begun: list[str] = []

    def work(errand: Errand, *, watch: Watch) -> Outcome:
        watch("start", None)
        begun.append(errand.photo.name)
        if errand.photo.name == "b":
            raise KeyboardInterrupt
        until_stopped(watch)
        begun.append("and ended")
        return Outcome(errand.photo)

    with pytest.raises(KeyboardInterrupt):
        run_all(work, [Errand(Path(name), Path(name)) for name in "abc"], at_once=2, watching=unwatched)
    assert sorted(begun) == ["a", "b"]


def test_an_interrupt_from_the_keyboard_stops_every_photograph() -> None:
    begun: list[str] = []
    stopped = threading.Event()

    def work(errand: Errand, *, watch: Watch) -> Outcome:
        watch("start", None)
        begun.append(errand.photo.name)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            until_stopped(watch)
        except KeyboardInterrupt:
            stopped.set()
            raise
        return Outcome(errand.photo)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_all(work, [Errand(Path(name), Path(name)) for name in "abc"], at_once=1, watching=unwatched)
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped.wait(4)
    assert begun == ["a"]


@pytest.mark.parametrize(
    "args",
    [
        ["upscale", "missing.jpg", "-o", "out"],
        ["upscale", "trip/a.jpg"],
        ["upscale", "trip/a.jpg", "-o", "out", "--scale", "17"],
        ["upscale", "trip/a.jpg", "-o", "out", "--quality", "0"],
        ["upscale", "trip/a.jpg", "-o", "out", "--width", "0"],
        ["upscale", "trip/a.jpg", "-o", "out", "--preset", "video"],
        ["upscale", "trip/a.jpg", "-o", "out", "--metadata", "some"],
        ["upscale", "empty", "-o", "out"],
        ["jobs", "ls", "--limit", "0"],
        ["jobs", "show"],
        ["no-such-command"],
    ],
)
def test_a_wrong_command_line_exits_2_and_asks_nothing(
    enlarger: Invoke, service: FakeService, folder: Path, args: list[str]
) -> None:
    (folder / "empty").mkdir()
    assert enlarger(*args).exit_code == 2
    assert service.requests == []


def test_bars_show_the_photograph_and_its_stage() -> None:
    drawn = io.StringIO()
    with bars(Console(file=drawn, force_terminal=True, width=100), 2) as watching, watching(Path("a[b].jpg")) as watch:
        watch("upload", 0.5)
        watch("wait, 3 ahead", None)
        watch("enlarge", 0.4)
    assert "a[b].jpg" in drawn.getvalue()
    assert "all" in drawn.getvalue()


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"status": "awaiting_upload"}, ("awaiting upload", None)),
        ({"status": "queued", "queue": {"position": 3}}, ("wait, 3 ahead", None)),
        ({"status": "queued", "queue": {"lane": "bulk"}}, ("queued", None)),
        ({"status": "processing", "progress": {"percent": 40.0}}, ("enlarge", 0.4)),
        ({"status": "processing", "progress": None}, ("processing", None)),
    ],
)
def test_a_stage_tells_where_a_job_stands(job: dict[str, Any], said: tuple[str, float | None]) -> None:
    assert stage(Job(id="job_1", **job)) == said


@given(
    stems=st.lists(st.text("ab.x4-", min_size=1, max_size=6).filter(lambda stem: stem.strip(".")), max_size=6),
    label=st.sampled_from(["x1.5", "x2", "w800"]),
    format_=st.none() | st.sampled_from(["jpeg", "png", "webp"]),
)
def test_a_plan_names_every_photograph_once_and_no_two_alike(stems: list[str], label: str, format_: str | None) -> None:
    photos = [Path(f"in{number}/{stem}.png") for number, stem in enumerate(stems)]
    errands = plan([*photos, *photos], Path("out"), label=label, format_=format_)
    assert sorted(errand.photo for errand in errands) == sorted(photos)
    named = [errand.target for errand in errands if not errand.clashes]
    assert len(set(named)) == len(named)
    assert {errand.target for errand in errands} == set(named)
    assert all(errand.target.stem.endswith(f"-{label}") for errand in errands)
