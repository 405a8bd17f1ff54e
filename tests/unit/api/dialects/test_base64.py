"""The dialect `base64` as its own clients use it: `curl -d` without a content type, `curl -o` without `-L`, a page."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from api.dialects.pictures import public_id
from pipeline.errors import PipelineError
from pipeline.identity import fingerprint
from pipeline.options import Effective
from pipeline.sizes import target_size
from tests.unit.api.dialects.conftest import DIALECTS, JPEG, PNG, RESULT, House, Open, bearer, detail

CURL = {"content-type": "application/x-www-form-urlencoded"}


def body(data: bytes = PNG, **changes: Any) -> dict[str, Any]:
    return {"image": base64.b64encode(data).decode(), "scale": 4, "output_ext": "png"} | changes


def upscale(house: House, wanted: dict[str, Any] | bytes, token: str = "token1") -> httpx2.Response:
    content = wanted if isinstance(wanted, bytes) else json.dumps(wanted).encode()
    return house.client.post("/upscale", content=content, headers=bearer(token) | CURL)


def test_curl_gets_every_field_and_each_is_true(house: House) -> None:
    answer = upscale(house, body())
    told = answer.json()
    job = house.only_job()
    assert answer.status_code == 200
    assert told.keys() == {
        "download_url",
        "file_id",
        "original_size",
        "upscaled_size",
        "expires_at",
        "output_format",
    }
    assert told["download_url"] == f"http://api.test/download/{told['file_id']}"
    assert (told["original_size"], told["upscaled_size"]) == ([100, 80], [400, 320])
    assert told["output_format"] == "png"
    assert job.completed_at is not None
    assert told["expires_at"] == f"{job.completed_at + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"


def test_the_url_serves_the_file_itself_without_a_token_until_it_expires(house: House) -> None:
    url = upscale(house, body()).json()["download_url"]
    answer = house.client.get(url)
    assert (answer.status_code, answer.content) == (200, RESULT)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    house.now += timedelta(seconds=3600)
    assert detail(house.client.get(url)) == (404, "The file has expired")


def test_a_file_that_retention_has_removed_is_not_found(house: House) -> None:
    url = upscale(house, body()).json()["download_url"]
    assert house.client.head(url).headers["content-length"] == str(len(RESULT))
    house.objects.stored.clear()
    assert detail(house.client.get(url)) == (404, "The file is gone")
    assert house.client.head(url).status_code == 404


@pytest.mark.parametrize("path", ["/download/no-uuid", "/download/01a1fdbf-8ad6-86f5-9054-ab1765e82ec7"])
def test_an_id_that_nothing_has_is_not_found(house: House, path: str) -> None:
    assert house.client.get(path).status_code == 404


def test_the_id_of_a_job_of_another_kind_opens_nothing(house: House) -> None:
    upscale(house, body())
    job = house.only_job()
    house.jobs.jobs[job.id] = job.model_copy(update={"metadata": {}})
    assert house.client.get(f"/download/{public_id(job)}").status_code == 404


@pytest.mark.parametrize("prefix", ["data:image/png;base64,", ""])
def test_a_data_prefix_and_missing_padding_are_tolerated(house: House, prefix: str) -> None:
    image = prefix + base64.b64encode(PNG).decode().rstrip("=")
    assert upscale(house, body(image=image)).status_code == 200
    key = house.only_job().source.key
    assert house.objects.stored["uploads", key][1] == PNG


def test_jpg_is_written_at_quality_95_and_told_as_jpg(house: House) -> None:
    assert upscale(house, body(JPEG, output_ext="jpg", scale=2)).json()["output_format"] == "jpg"
    asked = house.only_job().options.requested
    assert asked == {"scale": 2.0, "model": "realesrgan-x4plus", "format": "jpeg", "quality": 95}


def test_twice_has_a_model_of_its_own_where_a_worker_can_run_it(house: House) -> None:
    house.add_worker("w", "realesrgan-x2plus", "realesrgan-x4plus")
    upscale(house, body(scale=2))
    assert house.only_job().options.requested["model"] == "realesrgan-x2plus"


def test_a_model_that_no_worker_can_run_is_told_with_a_hint(house: House) -> None:
    house.add_worker("w", "bicubic")
    status, said = detail(upscale(house, body()))
    assert status == 503
    assert "models pull realesrgan-x4plus" in said


@pytest.mark.parametrize(
    "wanted",
    [
        body(scale=3),
        body(scale="big"),
        body(output_ext="gif"),
        {"scale": 4},
        body(image="no base64!"),
        body(image=""),
        body(b"no picture"),
        body(PNG + bytes(500_000)),
        b"no json",
        b"[]",
    ],
)
def test_what_is_wrong_with_a_request_is_a_400_that_says_what(house: House, wanted: dict[str, Any] | bytes) -> None:
    answer = upscale(house, wanted)
    assert answer.status_code == 400
    assert answer.json().keys() == {"detail"}
    assert answer.json()["detail"]
    assert not house.jobs.jobs


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), {"authorization": "Basic token1"}])
def test_without_a_token_nothing_is_done(house: House, headers: dict[str, str]) -> None:
    answer = house.client.post("/upscale", content=json.dumps(body()), headers=headers)
    assert detail(answer)[0] == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_each_token_of_the_settings_is_an_owner_of_its_own_and_others_work_too(house: House) -> None:
    for token in ("token1", "token2", "enl_alice"):
        assert upscale(house, body(), token).status_code == 200
    named = {f"token-{fingerprint(token)[:8]}" for token in ("token1", "token2")}
    assert {job.owner for job in house.jobs.jobs.values()} == {*named, "alice"}


@pytest.mark.parametrize(
    ("code", "status"), [("image_corrupt", 400), ("engine_failed", 500), ("gpu_out_of_memory", 503)]
)
def test_a_failed_job_is_told_by_its_kind(house: House, code: str, status: int) -> None:
    house.error = PipelineError("It went wrong.", code=code, hint="Do this.")
    answer = upscale(house, body())
    assert detail(answer) == (status, "It went wrong. Do this.")


def test_after_five_minutes_the_job_goes_on_without_the_client(house: House) -> None:
    house.idle = True
    answer = upscale(house, body())
    told = answer.json()
    assert answer.status_code == 504
    assert told["job_id"] == house.only_job().id
    assert house.client.get(told["download_url"]).status_code == 404
    house.idle = False
    house.work()
    assert house.client.get(told["download_url"]).content == RESULT


def test_other_methods_are_told_in_json(house: House) -> None:
    usage = house.client.get("/upscale").json()
    assert usage["usage"]["method"] == "POST"
    answer = house.client.put("/upscale")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert "detail" in answer.json()


def test_a_page_from_the_disk_may_call(house: House) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    before = house.client.options("/upscale", headers={"origin": "null"} | asked)
    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == "*"
    assert "authorization" in before.headers["access-control-allow-headers"].lower()
    headers = bearer("token1") | {"origin": "null", "content-type": "application/json"}
    answer = house.client.post("/upscale", content=json.dumps(body()), headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    assert "access-control-allow-credentials" not in answer.headers
    refused = house.client.post("/upscale", content=b"{}", headers={"origin": "null"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")


def test_no_page_may_call_unless_a_setting_says_so(opened: Open) -> None:
    _, client = opened(cors=())
    with client:
        assert "access-control-allow-origin" not in client.get("/health", headers={"origin": "null"}).headers


def test_alone_it_takes_every_body(opened: Open) -> None:
    _, client = opened(replace(DIALECTS, names=("base64",)))
    with client:
        assert client.get("/").json()["endpoints"]["upscale"] == "POST /upscale"
        assert client.get("/metrics").headers["content-type"].startswith("text/plain")
        assert client.get("/status/x").status_code == 404


@pytest.mark.parametrize(("scale", "most"), [(2, 4096), (4, 8192)])
def test_a_setting_enlarges_no_further_than_what_the_service_reduced_its_input_to(
    opened: Open, scale: int, most: int
) -> None:
    house, client = opened(replace(DIALECTS, input_px=2048))
    with client:
        house.portal, house.client = client.portal, client
        assert upscale(house, body(scale=scale)).status_code == 200
        asked = house.only_job().options.requested
    assert (asked["scale"], asked["max"]) == (scale, most)
    sizing = Effective(model=asked["model"], format="png", quality=100, lossless=False, scale=scale, max=most)
    assert target_size(1000, 2048, sizing) == (1000 * scale, 2048 * scale)
    assert target_size(4096, 1000, sizing) == (2048 * scale, 500 * scale)


def test_without_the_setting_pictures_are_enlarged_as_they_are(house: House) -> None:
    upscale(house, body())
    assert "max" not in house.only_job().options.requested
