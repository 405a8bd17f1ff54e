"""The dialect `v1uploads`: what its page and its administration send."""

from typing import Any

import httpx2
import pytest

from pipeline.errors import PipelineError
from pipeline.job import Status
from pipeline.ports.documents import SourceRecord
from tests.unit.api.dialects.conftest import GIF, JPEG, RESULT, House, bearer, detail, picture

ADMIN = bearer("enl_admin")
JOB_KEYS = {
    "job_id",
    "status",
    "progress",
    "scale",
    "preset",
    "denoise",
    "model",
    "original_url",
    "result_url",
    "error",
    "created_at",
    "completed_at",
}


def upload(house: House, body: bytes = JPEG, **data: str) -> httpx2.Response:
    return house.client.post("/api/v1/uploads", files=picture(body, "photo.jpg"), data=data)


def job_of(house: House, id_: str) -> dict[str, Any]:
    return dict(house.client.get(f"/api/v1/jobs/{id_}").json())


def administer(house: House, what: str, id_: str, headers: dict[str, str] = ADMIN) -> httpx2.Response:
    return house.client.post(f"/api/v1/admin/jobs/{id_}/{what}", headers=headers)


def test_an_upload_is_a_job_with_an_address(house: House) -> None:
    answer = upload(house, scale="4", preset="photo", denoise="high", model="lanczos")
    told = answer.json()
    assert (answer.status_code, told.keys()) == (201, {"job_id", "status", "job_url"})
    assert told["job_url"] == f"http://api.test/job/{told['job_id']}"
    asked = {"scale": 4.0, "preset": "photo", "denoise": 100, "model": "lanczos", "format": "png"}
    assert house.only_job().options.requested == asked


def test_the_model_is_bicubic_unless_something_is_said(house: House) -> None:
    told = job_of(house, upload(house).json()["job_id"])
    assert told.keys() == JOB_KEYS
    said = (told["scale"], told["preset"], told["denoise"], told["model"])
    assert said == (2, "standard", "none", "bicubic")
    assert house.only_job().options.requested["model"] == "bicubic"


@pytest.mark.parametrize(
    ("preset", "denoise", "model"), [("photo", "low", "realesrgan-x4plus"), ("art", "none", "realesrgan-x4plus-anime")]
)
def test_a_preset_has_a_model_of_its_own(house: House, preset: str, denoise: str, model: str) -> None:
    told = job_of(house, upload(house, preset=preset).json()["job_id"])
    assert (told["preset"], told["denoise"], told["model"]) == (preset, denoise, model)


def test_the_pictures_are_served_before_and_after(house: House) -> None:
    id_ = upload(house).json()["job_id"]
    waiting = job_of(house, id_)
    assert (waiting["original_url"], waiting["result_url"], waiting["completed_at"]) == (None, None, None)
    house.arrive()
    house.work()
    done = job_of(house, id_)
    assert (done["status"], done["progress"], done["completed_at"]) == ("completed", 100, "2026-11-01T12:00:02Z")
    assert done["created_at"] == "2026-11-01T12:00:00Z"
    before, after = house.client.get(done["original_url"]), house.client.get(done["result_url"])
    assert (before.content, before.headers["content-type"]) == (JPEG, "image/jpeg")
    assert (after.content, after.headers["content-type"]) == (RESULT, "image/png")
    assert after.headers["content-disposition"].startswith("inline")


@pytest.mark.parametrize("name", ["nothing.png", "01a1fdbf-8ad6-86f5-9054-ab1765e82ec7.png"])
@pytest.mark.parametrize("folder", ["uploads", "results"])
def test_names_that_nothing_has_are_not_found(house: House, folder: str, name: str) -> None:
    assert detail(house.client.get(f"/{folder}/{name}"))[0] == 404


@pytest.mark.parametrize("path", ["/uploads/a.png", "/results/a.png", "/download/a"])
def test_files_that_need_no_token_are_counted_by_address(house: House, path: str) -> None:
    house.quotas["status"] = 1
    assert house.client.get(path).headers["ratelimit"] == '"status";r=0;t=60'
    assert detail(house.client.get(path, headers=bearer("enl_alice")))[0] == 429


@pytest.mark.parametrize("wrong", [{"scale": "3"}, {"preset": "fog"}, {"denoise": "some"}, {"model": "No Such!"}])
def test_what_is_wrong_is_named(house: House, wrong: dict[str, str]) -> None:
    status, said = detail(upload(house, JPEG, **wrong))
    assert status == 422
    assert next(iter(wrong)) in said.lower()
    assert not house.jobs.jobs


def test_other_kinds_of_files_are_refused(house: House) -> None:
    assert detail(upload(house, GIF))[0] == 400


def test_an_admin_cancels(house: House) -> None:
    id_ = upload(house).json()["job_id"]
    assert administer(house, "cancel", id_).json() == {"job_id": id_, "status": "cancelled"}
    assert job_of(house, id_)["status"] == "cancelled"


def test_what_an_admin_does_here_is_written_down(house: House) -> None:
    id_ = upload(house).json()["job_id"]
    administer(house, "cancel", id_)
    administer(house, "requeue", "no-uuid")
    administer(house, "cancel", id_, bearer("enl_alice"))
    entries = house.client.get("/v1/admin/audit", headers=ADMIN).json()["items"]
    told = [(one["by"], one["action"], one["target"], one["status"]) for one in reversed(entries)]
    assert sorted(told) == [
        ("admin", "POST /api/v1/admin/jobs/{id}/cancel", f"/api/v1/admin/jobs/{id_}/cancel", 200),
        ("admin", "POST /api/v1/admin/jobs/{id}/requeue", "/api/v1/admin/jobs/no-uuid/requeue", 404),
    ]


def test_a_failed_job_is_requeued_as_a_new_run(house: House) -> None:
    id_ = upload(house).json()["job_id"]
    job = house.only_job()
    failed = {
        "status": Status.FAILED,
        "source": job.source.model_copy(update={"sequencer": "17"}),
        "options": job.options.model_copy(update={"effective": {"scale": 2, "model": "bicubic"}}),
    }
    house.jobs.jobs[job.id] = job.model_copy(update=failed)
    record = SourceRecord(job.source.key, "17", "etag", job.id)
    house.call(lambda: house.documents.sources.insert(record))
    assert administer(house, "requeue", id_).json() == {"job_id": id_, "status": "queued"}
    assert house.only_job().run == 2


def test_a_completed_job_is_requeued_as_a_new_run(house: House) -> None:
    id_ = upload(house).json()["job_id"]
    house.arrive()
    house.work()
    assert administer(house, "requeue", id_).json() == {"job_id": id_, "status": "queued"}
    assert (house.only_job().status, house.only_job().run) == (Status.QUEUED, 2)


def test_another_run_of_a_completed_job_counts_against_its_owner(house: House) -> None:
    id_ = upload(house).json()["job_id"]
    house.arrive()
    house.work()
    house.allowance["jobs"] = 0
    assert detail(administer(house, "requeue", id_))[0] == 429
    assert house.only_job().status is Status.SUCCEEDED


def test_a_completed_job_without_its_file_is_not_requeued(house: House) -> None:
    id_ = upload(house).json()["job_id"]
    house.work()
    job = house.only_job()
    house.jobs.jobs[job.id] = job.model_copy(update={"removed_at": house.now})
    assert detail(administer(house, "requeue", id_))[0] == 409


def test_a_failed_job_whose_upload_is_gone_is_not_requeued(house: House) -> None:
    id_ = upload(house).json()["job_id"]
    house.error = PipelineError("It broke.", code="engine_failed", hint="Retry.")
    house.work()
    assert detail(administer(house, "requeue", id_))[0] == 409


@pytest.mark.parametrize("what", ["cancel", "requeue"])
def test_only_an_admin_administers(house: House, what: str) -> None:
    id_ = upload(house).json()["job_id"]
    assert administer(house, what, id_, {}).status_code == 401
    assert administer(house, what, id_, bearer("enl_alice")).status_code == 403
    assert administer(house, what, "no-uuid").status_code == 404


def test_health_is_told_here_too(house: House) -> None:
    assert house.client.get("/api/v1/health").json()["status"] == "healthy"


def test_the_address_of_a_job_tells_of_it(house: House) -> None:
    told = upload(house).json()
    assert house.client.get(told["job_url"]).json() == job_of(house, told["job_id"])
    assert house.client.delete(told["job_url"]).status_code == 404  # of `status`, which did not make it


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/v1/admin/settings"), ("GET", "/admin/login"), ("GET", "/admin/jobs/x")]
)
def test_what_is_not_there_yet_says_what_to_do_instead(house: House, method: str, path: str) -> None:
    status, said = detail(house.client.request(method, path))
    assert status == 501
    assert said.startswith("This is not there yet: ")
