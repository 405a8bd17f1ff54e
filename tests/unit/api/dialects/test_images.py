"""The dialect `images` as its own clients use it: a collection of pictures by account."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import pytest

from pipeline.job import Status
from tests.unit.api.dialects.conftest import JPEG, House, bearer, detail, picture

ALICE, BOB = bearer("enl_alice"), bearer("enl_bob")


def upload(house: House, name: str = "photo.jpg", **data: str) -> dict[str, Any]:
    answer = house.client.post("/images/upload", files=picture(JPEG, name), data=data, headers=ALICE)
    assert answer.status_code == 200
    return dict(answer.json())


def names(house: House, **params: int) -> list[str]:
    answer = house.client.get("/images/my-images", params=params, headers=ALICE)
    return [image["name"] for image in answer.json()]


def delete(house: House, id_: str) -> httpx2.Response:
    return house.client.delete(f"/images/{id_}", headers=ALICE)


def test_an_upload_is_told_with_every_field(house: House) -> None:
    told = upload(house, "my photo.jpg", description="before")
    assert str(UUID(told["id"])) == told["id"]
    url = urlsplit(told.pop("s3_url"))
    assert url.path.startswith("/uploads/jobs/job_")
    assert "X-Amz-Expires=3600" in url.query
    del told["id"]
    assert told == {
        "user_id": "alice",
        "name": "my photo.jpg",
        "description": "before",
        "uploaded_at": "2026-11-01T12:00:00Z",
    }
    assert house.objects.stored["uploads", house.only_job().source.key][1] == JPEG


def test_an_image_is_read_as_it_was_told(house: House) -> None:
    told = upload(house)
    again = house.client.get(f"/images/{told['id']}", headers=ALICE).json()
    assert again.keys() == told.keys()
    assert (again["id"], again["description"]) == (told["id"], None)


def test_images_are_listed_by_pages_newest_first_without_other_jobs(house: House) -> None:
    for number in range(4):
        upload(house, f"{number}.jpg")
        house.add_job("alice", Status.QUEUED)
    assert names(house) == ["3.jpg", "2.jpg", "1.jpg", "0.jpg"]
    assert names(house, skip=1, limit=2) == ["2.jpg", "1.jpg"]
    assert names(house, skip=9) == []


@pytest.mark.parametrize("params", [{"skip": -1}, {"limit": "many"}, {"limit": 201}])
def test_pages_that_make_no_sense_are_refused(house: House, params: dict[str, Any]) -> None:
    answer = house.client.get("/images/my-images", params=params, headers=ALICE)
    assert detail(answer)[0] == 422


@pytest.mark.parametrize("work", [True, False])
def test_a_deleted_image_is_gone_at_once(house: House, work: bool) -> None:  # noqa: FBT001 - a case
    kept, gone = upload(house, "kept.jpg"), upload(house, "gone.jpg")
    if work:
        house.work()
    assert delete(house, gone["id"]).json() == {"message": "Image deleted successfully"}
    assert delete(house, gone["id"]).status_code == 404
    assert house.client.get(f"/images/{gone['id']}", headers=ALICE).status_code == 404
    assert names(house, limit=1) == ["kept.jpg"]
    assert house.client.get(f"/images/{kept['id']}", headers=ALICE).status_code == 200


@pytest.mark.parametrize(("worker", "status"), [("died", 409), ("works", 200)])
def test_an_image_whose_job_publishes_is_deleted_once_that_has_ended(house: House, worker: str, status: int) -> None:
    id_ = upload(house)["id"]
    job = house.only_job()
    house.jobs.jobs[job.id] = job.model_copy(update={"status": Status.PUBLISHING})
    house.idle = worker == "died"
    assert delete(house, id_).status_code == status
    assert house.client.get(f"/images/{id_}", headers=ALICE).status_code == (404 if status == 200 else 200)


def test_images_of_others_are_not_found(house: House) -> None:
    id_ = upload(house)["id"]
    for method in ("GET", "DELETE"):
        assert house.client.request(method, f"/images/{id_}", headers=BOB).status_code == 404
    assert house.client.get("/images/my-images", headers=BOB).json() == []


def test_without_a_token_nothing_is_told(house: House) -> None:
    assert detail(house.client.get("/images/my-images"))[0] == 401
    assert detail(house.client.post("/images/upload", files=picture()))[0] == 401


def test_a_description_is_kept_whole_or_refused(house: House) -> None:
    answer = house.client.post("/images/upload", files=picture(), data={"description": "x" * 513}, headers=ALICE)
    assert detail(answer)[0] == 422


def test_what_is_not_there_yet_says_what_to_do_instead(house: House) -> None:
    answer = house.client.post("/images/compare", json={"image1_id": "a", "image2_id": "b"}, headers=ALICE)
    assert detail(answer)[0] == 501


def test_a_page_of_any_origin_may_call(house: House) -> None:
    asked = {"origin": "https://page.test", "access-control-request-method": "DELETE"}
    answer = house.client.options("/images/x", headers=asked | {"access-control-request-headers": "authorization"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
