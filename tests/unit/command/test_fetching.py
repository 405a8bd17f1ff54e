"""`enlarger jobs fetch` and `enlarger batches fetch`: outputs come into a folder."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.unit.command.conftest import Invoke
from tests.unit.command.shell import files
from tests.unit.fake_service import FakeService, denied, enlarged


@pytest.fixture
def done(enlarger: Invoke, service: FakeService) -> list[str]:
    """Two jobs that have succeeded, and whose outputs have the same name."""
    enlarger("upscale", "trip", "-o", "out", "--jobs", "1")
    return list(service.jobs)


def manifest(service: FakeService, *more: dict[str, Any]) -> None:
    told = [
        {"key": job["source"]["key"], "job_id": job["id"], "status": job["status"], "outputs": job["outputs"]}
        for job in service.jobs.values()
    ]
    body = "\n".join(json.dumps(line) for line in [*told, *more])
    service.once("GET", "/v1/batches/batch_1/manifest", lambda _: httpx2.Response(200, text=body))


def test_the_output_of_a_job_is_fetched_under_its_own_name(enlarger: Invoke, done: list[str], folder: Path) -> None:
    result = enlarger("jobs", "fetch", done[0], "-o", "new/back")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "new/back/a.jpg\n", "")
    assert files(folder / "new") == {"back/a.jpg": enlarged(b"first")}


def test_a_file_that_is_there_is_replaced_only_by_force(enlarger: Invoke, done: list[str], folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"mine")
    refused = enlarger("jobs", "fetch", done[0], "-o", ".")
    assert (refused.exit_code, (folder / "a.jpg").read_bytes()) == (1, b"mine")
    assert "output_exists" in refused.stderr
    assert enlarger("jobs", "fetch", done[0], "-o", ".", "--force").exit_code == 0
    assert (folder / "a.jpg").read_bytes() == enlarged(b"first")


def test_a_job_that_has_not_ended_has_nothing_to_fetch(enlarger: Invoke, service: FakeService, folder: Path) -> None:
    result = enlarger("jobs", "fetch", service.add(status="queued")["id"], "-o", "back")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "job_not_finished" in result.stderr
    assert not (folder / "back").exists()


@pytest.mark.parametrize("key", ["jobs/..", "jobs/a\0b"])
def test_an_output_never_leads_out_of_the_folder(
    enlarger: Invoke, service: FakeService, done: list[str], folder: Path, key: str
) -> None:
    service.jobs[done[0]]["outputs"][0]["key"] = key
    result = enlarger("jobs", "fetch", done[0], "-o", "back")
    assert (result.exit_code, "answer_invalid" in result.stderr) == (1, True)
    assert not (folder / "back").exists()


def test_a_batch_comes_whole_and_equal_names_are_told_apart(
    enlarger: Invoke, service: FakeService, done: list[str], folder: Path
) -> None:
    manifest(service)
    result = enlarger("batches", "fetch", "batch_1", "-o", "back")
    first, second = (f"{job_id}-a.jpg" for job_id in done)
    assert (result.exit_code, result.stdout) == (0, f"back/{first}\nback/{second}\n")
    assert files(folder / "back") == {first: enlarged(b"first"), second: enlarged(b"second")}


def test_what_a_batch_lacks_is_told_and_the_rest_comes(
    enlarger: Invoke, service: FakeService, done: list[str], folder: Path
) -> None:
    service.jobs[done[1]]["outputs"][0]["key"] = "b.jpg"
    manifest(service, {"key": "notes.txt", "error": {"code": "not_a_picture", "detail": "It is none."}})
    service.once("GET", "/outputs/", denied)
    result = enlarger("batches", "fetch", "batch_1", "-o", "back", "--jobs", "1")
    assert (result.exit_code, result.stdout) == (1, "back/b.jpg\n")
    for said in ("1 of 3 pictures have no output", "enlarger batches manifest batch_1", "download_refused"):
        assert said in result.stderr
    assert files(folder / "back") == {"b.jpg": enlarged(b"second")}
