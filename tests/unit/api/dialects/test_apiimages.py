"""The dialect `apiimages` as its own clients use it: an account, an upload, a gray picture of 800x600."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from pipeline.errors import PipelineError
from pipeline.job import Status
from tests.unit.api.dialects.conftest import GIF, JPEG, PNG, RESULT, House, bearer, detail, picture

ALICE = bearer("enl_alice")


def upload(house: House, body: bytes = PNG, name: str = "photo.png", **params: str) -> httpx2.Response:
    return house.client.post("/api/upload", files=picture(body, name), params=params, headers=ALICE)


def get(house: House, path: str = "") -> Any:
    return house.client.get(f"/api/images{path}", headers=ALICE).json()


@pytest.mark.parametrize(("body", "name"), [(PNG, "a.png"), (JPEG, "a.jpg"), (JPEG, "a.jpeg"), (GIF, "a.gif")])
def test_an_upload_is_taken_in_four_kinds_and_made_gray_and_800_by_600(house: House, body: bytes, name: str) -> None:
    answer = upload(house, body, name)
    told = answer.json()
    assert (answer.status_code, told.keys()) == (202, {"id", "status"})
    assert (str(UUID(told["id"])), told["status"]) == (told["id"], "queued")
    asked = {"width": 800, "height": 600, "gray": True, "model": "lanczos"}
    assert house.only_job().options.requested == asked


def test_the_work_goes_on_in_the_background(house: House) -> None:
    id_ = upload(house).json()["id"]
    assert get(house, f"/{id_}") == {"id": id_, "status": "queued"}
    assert house.client.get(f"/api/images/{id_}/result", headers=ALICE).status_code == 404
    house.work()
    assert get(house, f"/{id_}") == {"id": id_, "status": "completed"}
    answer = house.client.get(f"/api/images/{id_}/result", headers=ALICE)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, RESULT, "image/png")


def test_sync_waits_for_it(house: House) -> None:
    answer = upload(house, sync="true")
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


def test_sync_does_not_wait_for_ever(house: House) -> None:
    house.idle = True
    answer = upload(house, sync="true")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


def test_a_failed_picture_says_why(house: House) -> None:
    house.error = PipelineError("It ends early.", code="image_truncated", hint="Upload all of it.")
    told = upload(house, sync="true").json()
    assert (told["status"], told["error"]) == ("failed", "It ends early. Upload all of it.")


def test_pictures_are_listed_newest_first_without_those_of_others_and_other_jobs(house: House) -> None:
    ids = [upload(house).json()["id"] for _ in range(3)]
    house.add_job("alice", Status.QUEUED)
    house.client.post("/api/upload", files=picture(), headers=bearer("enl_bob"))
    assert [one["id"] for one in get(house)] == ids[::-1]


def test_pictures_of_others_are_not_found(house: House) -> None:
    id_ = upload(house, sync="true").json()["id"]
    for path in (id_, f"{id_}/result"):
        assert house.client.get(f"/api/images/{path}", headers=bearer("enl_bob")).status_code == 404


@pytest.mark.parametrize("path", ["/api/images", "/api/images/x", "/api/images/x/result"])
def test_without_a_token_nothing_is_told(house: House, path: str) -> None:
    assert detail(house.client.get(path))[0] == 401
    assert house.client.post("/api/upload", files=picture()).status_code == 401


def test_what_is_no_picture_is_refused(house: House) -> None:
    assert detail(upload(house, b"RIFFxxxxWEBP and more"))[0] == 400
    assert detail(house.client.post("/api/upload", files={"other": ("a.png", PNG)}, headers=ALICE))[0] == 400
    assert not house.jobs.jobs


def test_calls_of_a_dialect_count_as_ours_do(house: House) -> None:
    house.quotas |= {"upscale": 1, "status": 9}
    assert upload(house).status_code == 202
    refused = upload(house)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert isinstance(get(house), list)


def test_a_picture_over_quota_is_refused_in_the_form_of_the_dialect(house: House) -> None:
    house.allowance["jobs"] = 1
    assert upload(house).status_code == 202
    refused = upload(house)
    status, said = detail(refused)
    assert (status, refused.headers["retry-after"], refused.headers["ratelimit"]) == (429, "60", '"jobs";r=0;t=60')
    assert "1 of 1 unfinished jobs are used" in said
    assert len(house.jobs.jobs) == 1
