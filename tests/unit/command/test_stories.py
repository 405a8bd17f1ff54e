"""`enlarger jobs` and `enlarger models`: what they list and tell."""

import json

import pytest

from enlarger import Job
from enlarger.command.show import story
from tests.unit.command.conftest import Invoke
from tests.unit.fake_service import API, FakeService


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


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_where_nothing_could_be_done_stands_no_table(enlarger: Invoke, service: FakeService, action: str) -> None:
    result = enlarger("jobs", action, service.add(status="succeeded")["id"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "job_not_finished" in result.stderr


@pytest.mark.parametrize(("hours", "seconds"), [((), 86_400), (("--hours", "720"), 2_592_000)])
def test_a_link_to_a_result_is_printed_alone(
    enlarger: Invoke, service: FakeService, hours: tuple[str, ...], seconds: int
) -> None:
    job_id = service.add(status="succeeded")["id"]
    result = enlarger("jobs", "link", job_id, *hours)
    assert (result.exit_code, result.stdout) == (0, f"{API}/v1/links/{job_id}\n")
    assert json.loads(service.asked("POST", "/links")[0].content) == {"expires_seconds": seconds}
    told = json.loads(enlarger("jobs", "link", job_id, "--json").stdout)
    assert told == {"url": f"{API}/v1/links/{job_id}", "expires_at": "2026-01-02T00:00:00Z"}


@pytest.mark.parametrize("hours", ["0", "721"])
def test_a_link_works_for_an_hour_at_least_and_thirty_days_at_most(
    enlarger: Invoke, service: FakeService, hours: str
) -> None:
    assert enlarger("jobs", "link", "job_1", "--hours", hours).exit_code == 2
    assert service.requests == []


def test_there_is_no_link_to_what_is_not_there(enlarger: Invoke, service: FakeService) -> None:
    result = enlarger("jobs", "link", service.add(status="queued")["id"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "job_not_finished" in result.stderr


def test_models_are_listed_with_scales_and_licence(enlarger: Invoke) -> None:
    shown = enlarger("models", "ls").stdout
    assert shown.splitlines()[1].split() == ["realesrgan-x4plus", "4", "rrdbnet", "BSD-3-Clause", "yes"]
    assert json.loads(enlarger("models", "ls", "--json").stdout)["items"][0]["name"] == "realesrgan-x4plus"
