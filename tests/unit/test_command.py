"""The command line against a service in memory: what it prints, what it writes, and how it exits."""

import io
import json
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner, Result

from enlarger import EnlargerError, Job
from enlarger.command import wishes
from enlarger.command.app import app
from enlarger.command.bars import bars
from enlarger.command.errands import Errand, Outcome, Watch, plan, stage
from enlarger.command.notes import MEANINGS
from enlarger.command.session import Session
from enlarger.command.settings import find_env_file, find_settings, parse_env, read_env_file
from enlarger.command.show import printable, story
from enlarger.command.upscale import run_all
from pipeline import options
from pipeline.options import parse
from tests.unit.fake_service import API, TOKEN, FakeService, busy, denied, enlarged

ENVIRON = {"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}

Invoke = Callable[..., Result]


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user stands: two photographs, and a text that is none."""
    trip = tmp_path / "trip"
    (trip / "day 2").mkdir(parents=True)
    (trip / "a.jpg").write_bytes(b"first")
    (trip / "day 2" / "b.JPG").write_bytes(b"second")
    (trip / "notes.txt").write_text("not a picture")
    (trip / ".hidden.jpg").write_bytes(b"of no concern")
    return tmp_path


@pytest.fixture
def enlarger(service: FakeService, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run one command line in *folder* against *service*."""
    monkeypatch.chdir(folder)

    def invoke(*args: str, environ: Mapping[str, str] = ENVIRON) -> Result:
        def connect(url: str, token: str) -> Any:
            assert (url, token) == (API, TOKEN)
            return service.client()

        return CliRunner().invoke(app, args, obj=Session(environ, folder, connect), catch_exceptions=False)

    return invoke


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
    [(wishes.Preset, options.Preset), (wishes.Metadata, options.Metadata), (wishes.Precision, options.Precision)],
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
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
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


def test_jobs_are_listed_newest_first_up_to_the_limit(enlarger: Invoke, service: FakeService) -> None:
    made = [service.add()["id"] for _ in range(5)]
    listed = json.loads(enlarger("jobs", "ls", "--limit", "3", "--json").stdout)["items"]
    assert [job["id"] for job in listed] == made[:1:-1]
    assert [line.split()[0] for line in enlarger("jobs", "ls").stdout.splitlines()] == ["job", *made[::-1]]


def test_a_job_as_json_is_the_job_on_the_wire(enlarger: Invoke, service: FakeService) -> None:
    job = service.add()
    assert json.loads(enlarger("jobs", "show", job["id"], "--json").stdout) == job


def test_the_story_of_a_failed_job_ends_with_what_to_do(enlarger: Invoke, service: FakeService) -> None:
    error = {"code": "image_truncated", "detail": "It ends early.", "hint": "Send it whole."}
    shown = enlarger("jobs", "show", service.add(status="failed", error=error)["id"]).stdout
    assert "image_truncated: It ends early." in shown
    assert shown.splitlines()[-1].split(maxsplit=3)[-1].strip() == "Send it whole."


def test_the_story_of_a_finished_job_has_its_output_and_seconds(enlarger: Invoke, service: FakeService) -> None:
    enlarger("upscale", "trip/a.jpg", "-o", "out")
    (job_id,) = service.jobs
    shown = enlarger("jobs", "show", job_id).stdout
    for said in ("succeeded", "scale 4 (default)", "8 x 8 px", "device 1.9", "openvino f32"):
        assert said in shown


def test_the_story_of_a_job_has_its_notes_and_the_figures_of_its_quality() -> None:
    quality = {"verdict": "pass", "psnr_db": 31.25, "seam_ratio": None, "failed": []}
    job = Job(id="job_1", status="succeeded", notes=("face_unavailable", "first_frame_only"), quality=quality)
    told = dict(story(job, None))
    assert told["notes"] == "face_unavailable, first_frame_only"
    assert told["quality"] == "verdict pass  psnr_db 31.2"
    failed = Job(id="job_1", status="failed", quality={"verdict": "fail", "failed": ["psnr_db", "shift_px"]})
    assert dict(story(failed, None))["quality"] == "verdict fail  failed psnr_db, shift_px"


def test_the_story_of_a_job_that_the_gate_failed_has_its_engine_and_seconds(
    enlarger: Invoke, service: FakeService
) -> None:
    error = {"code": "quality_gate_failed", "detail": "Not true.", "hint": "Try another model."}
    job = service.add(status="failed", error=error, quality={"verdict": "fail", "psnr_db": 9.0})
    shown = enlarger("jobs", "show", job["id"]).stdout
    for said in ("quality_gate_failed", "psnr_db 9", "openvino f32", "device 1.9"):
        assert said in shown


def test_a_story_leaves_out_what_nobody_knows() -> None:
    assert [name for name, _ in story(Job(id="job_1", status="queued"), None)] == ["job", "status", "source"]


def test_an_unknown_job_exits_1_with_the_services_words(enlarger: Invoke) -> None:
    result = enlarger("jobs", "show", "job_none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: job_not_found: There is no such job.\nList your jobs.\n"


@pytest.mark.parametrize(
    ("action", "before", "after"), [("cancel", "queued", "canceled"), ("retry", "failed", "queued")]
)
def test_cancel_and_retry_go_on_after_one_that_cannot(
    enlarger: Invoke, service: FakeService, action: str, before: str, after: str
) -> None:
    done, other = service.add(status="succeeded")["id"], service.add(status=before)["id"]
    result = enlarger("jobs", action, done, other, "--json")
    assert result.exit_code == 1
    assert [(job["id"], job["status"]) for job in json.loads(result.stdout)["items"]] == [(other, after)]
    assert "job_not_finished" in result.stderr
    assert enlarger("jobs", action, service.add(status=before)["id"]).exit_code == 0


def test_models_are_listed_with_scales_and_licence(enlarger: Invoke) -> None:
    shown = enlarger("models", "ls").stdout
    assert shown.splitlines()[1].split() == ["realesrgan-x4plus", "4", "rrdbnet", "BSD-3-Clause", "yes"]
    assert json.loads(enlarger("models", "ls", "--json").stdout)["items"][0]["name"] == "realesrgan-x4plus"


WORKER = {"name": "w1", "engine": "openvino", "precision": "f32", "probe": {"f32": 0.5}, "models": ["lanczos"]}


def test_a_sound_service_passes_the_doctor(enlarger: Invoke, service: FakeService) -> None:
    check = {"name": "minio", "status": "pass", "detail": "2 buckets", "seconds": 0.01}
    service.doctor = {"checks": [check], "workers": [WORKER | {"seen_at": "2026-01-01T00:00:00Z"}]}
    result = enlarger("doctor")
    assert result.exit_code == 0
    assert "2 buckets" in result.stdout
    assert result.stdout.splitlines()[-1].split() == [
        "w1",
        "openvino",
        "f32",
        "lanczos",
        "2026-01-01",
        "00:00:00Z",
        "f32",
        "0.5",
    ]


@pytest.mark.parametrize(("state", "said"), [({}, "12 s ago"), ({"late": True}, "no heartbeat for 12 s")])
def test_the_doctor_tells_the_age_of_a_heartbeat(
    enlarger: Invoke, service: FakeService, state: dict[str, Any], said: str
) -> None:
    service.doctor = {"checks": [], "workers": [WORKER | {"heartbeat_seconds": 12.2} | state]}
    assert re.search(rf"w1 .*lanczos +{said} ", enlarger("doctor").stdout)


def test_the_doctor_tells_unusable_models_apart_and_what_mends_them(enlarger: Invoke, service: FakeService) -> None:
    unusable = [
        {"name": "a", "available": False, "reason": "it is broken", "remedy": "mend a.pth"},
        {"name": "b", "available": False},
    ]
    service.doctor = {"checks": [], "workers": [WORKER | {"models": ["a", "b", "lanczos"], "unusable": unusable}]}
    lines = [re.split("  +", line.strip()) for line in enlarger("doctor").stdout.splitlines()]
    assert next(line for line in lines if line[0] == "w1")[3] == "lanczos"
    assert lines[-2:] == [
        ["a", "w1", "it is broken", "mend a.pth"],
        ["b", "w1", "its weights are not here", "python -m processors models pull b"],
    ]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("minio", "ENLARGER_MINIO_URL"),
        ("nats", "ENLARGER_NATS_URL"),
        ("mongo", "ENLARGER_MONGO_URL"),
        ("uploads.fast", "infra bootstrap"),
        ("uploads.durable", "infra bootstrap"),
        ("workers", "python -m processors"),
        ("moon", "python -m api"),
    ],
)
def test_a_failed_check_exits_1_and_says_what_to_do(
    enlarger: Invoke, service: FakeService, name: str, advice: str
) -> None:
    service.doctor = {"checks": [{"name": name, "status": "fail", "detail": "no answer"}], "workers": [WORKER]}
    result = enlarger("doctor")
    assert result.exit_code == 1
    assert advice in result.stdout
    assert enlarger("doctor", "--json").exit_code == 1


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


def test_the_installed_entry_point_answers_help_without_settings(tmp_path: Path) -> None:
    script = "from enlarger.command import main; main()"
    shown = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True)
    for name in ("upscale", "jobs", "models", "doctor", "env"):
        assert name in shown.stdout
