"""The requests of the dialects `base64` and `status` as their own clients send them, to an API with real workers.

Every field that is documented is there, of its kind, and true: sizes are the file's, times are those of this test,
figures are the machine's. `test_dialect_accounts.py` does the same for the other three.
"""

import base64
import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.deployment import Deployment
from tests.e2e import replaying as kinds
from tests.e2e.replaying import Answer, Curl, bearer, fields
from tests.pictures import assert_same_picture, encoded, opened, photograph
from tests.waiting import eventually

PHOTO = photograph(30, 22)
PNG = encoded(PHOTO, "PNG")
#: What a page opened from disk sends of itself.
FROM_DISK = ("-H", "Origin: null", "-H", "Sec-Fetch-Site: cross-site")


@pytest.fixture
def curl(replayed: Curl, tmp_path: Path) -> Curl:
    return Curl(replayed.base, tmp_path)


@pytest.fixture
def frozen(enlarger: Deployment) -> Iterator[None]:
    """No worker takes anything while the test runs."""
    enlarger.services["processors"].freeze()
    yield
    enlarger.services["processors"].thaw()


def now() -> datetime:
    return datetime.now(UTC)


def recent(moment: datetime, *, seconds: float = 60) -> bool:
    return abs((now() - moment).total_seconds()) < seconds


# --- base64 -----------------------------------------------------------------------------------------------------------


def ask(curl: Curl, *more: str, token: str = "token1", **wanted: Any) -> Answer:
    """`curl -d`, which calls JSON a form."""
    path = curl.folder / "body"
    path.write_text(json.dumps({"image": base64.b64encode(PNG).decode()} | wanted))
    return curl("/upscale", "-X", "POST", *bearer(token), "-d", f"@{path}", *more)


def told_of(answer: Answer) -> dict[str, Any]:
    return fields(
        answer.json(),
        download_url=kinds.url,
        file_id=kinds.uuid,
        original_size=kinds.size,
        upscaled_size=kinds.size,
        expires_at=kinds.zulu,
        output_format=kinds.one_of("png", "jpg"),
    )


def picture_of(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


@pytest.mark.parametrize("scale", [2, 4])
def test_base64_tells_the_truth_of_a_file_that_curl_downloads_without_following(curl: Curl, scale: int) -> None:
    told = told_of(ask(curl, scale=scale, output_ext="png"))
    assert told["download_url"] == f"{curl.base}/download/{told['file_id']}"
    assert told["original_size"] == (30, 22)
    answer = curl(told["download_url"])
    assert answer.headers["content-type"] == "image/png"
    assert_same_picture(opened(answer.file()), PHOTO, factor=scale)
    assert told["upscaled_size"] == picture_of(answer.body).size
    assert (told["output_format"], picture_of(answer.body).format) == ("png", "PNG")
    assert abs(told["expires_at"] - now() - timedelta(seconds=3600)) < timedelta(seconds=60)


def test_base64_makes_a_png_of_four_times_the_size_unless_something_is_said(curl: Curl) -> None:
    told = told_of(ask(curl))
    assert (told["upscaled_size"], told["output_format"]) == ((120, 88), "png")
    again = told_of(ask(curl))
    assert again["file_id"] != told["file_id"]


@pytest.mark.parametrize(("extension", "kind", "mode"), [("jpg", "JPEG", "RGB"), ("png", "PNG", "RGBA")])
def test_base64_flattens_what_is_clear_for_jpg_and_keeps_it_in_png(
    curl: Curl, extension: str, kind: str, mode: str
) -> None:
    clear = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
    clear[:, :15, 3] = 0
    image = f"data:image/png;base64,{base64.b64encode(encoded(clear, 'PNG')).decode()}"
    told = told_of(ask(curl, image=image, scale=2, output_ext=extension))
    made = picture_of(curl(told["download_url"]).file())
    assert (told["output_format"], made.format, made.mode) == (extension, kind, mode)
    assert made.size == told["upscaled_size"] == (60, 44)
    if mode == "RGBA":
        assert made.getpixel((4, 20))[3] == 0  # type: ignore[index]
        assert made.getpixel((55, 20))[3] == 255  # type: ignore[index]


def test_base64_works_for_a_page_that_was_opened_from_disk(curl: Curl) -> None:
    asked = (
        "-H",
        "Access-Control-Request-Method: POST",
        "-H",
        "Access-Control-Request-Headers: authorization,content-type",
    )
    preflight = curl("/upscale", "-X", "OPTIONS", *FROM_DISK, *asked)
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == "null"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    answer = ask(curl, *FROM_DISK, "-H", "Content-Type: application/json", scale=2)
    told = told_of(answer)
    shown = curl(told["download_url"], *FROM_DISK)
    assert picture_of(shown.file()).size == told["upscaled_size"]
    assert shown.headers["cross-origin-resource-policy"] == "cross-origin"
    for one in (answer, shown):
        assert one.headers["access-control-allow-origin"] == "null"
        assert "access-control-allow-credentials" not in one.headers


@pytest.mark.parametrize(
    "wrong", [{"scale": 3}, {"image": ""}, {"image": "***"}, {"output_ext": "gif"}, {"image": "bm8gcGljdHVyZQ=="}]
)
def test_base64_refuses_bad_parameters_with_400(curl: Curl, wrong: dict[str, Any]) -> None:
    assert ask(curl, **wrong).detail(400)


def test_base64_needs_one_of_its_tokens(curl: Curl) -> None:
    assert ask(curl, token="token3").detail(401)
    assert curl("/upscale", "-X", "POST", "-d", "{}").detail(401)
    assert told_of(ask(curl, token="token2", scale=2))


def test_base64_says_how_it_is_used(curl: Curl) -> None:
    assert curl("/upscale").json()["usage"]["method"] == "POST"
    assert curl("/upscale", "-X", "PUT").detail(405)
    assert isinstance(curl("/").json()["endpoints"], dict)
    assert curl("/download/00000000-0000-0000-0000-000000000000").detail(404)


# --- status -----------------------------------------------------------------------------------------------------------


def send(curl: Curl, *form: str, name: str = "photo.png", data: bytes = PNG) -> Answer:
    extra = (part for field in form for part in ("-F", field))
    return curl("/upscale", "-X", "POST", "-F", curl.photo(name, data), *extra)


def queued(answer: Answer, *, scale: int, face_enhance: bool = False) -> str:
    parameters = kinds.having(scale=kinds.one_of(scale), face_enhance=kinds.one_of(face_enhance))
    told = fields(
        answer.json(),
        job_id=kinds.uuid,
        status=kinds.one_of("queued"),
        message=kinds.text,
        estimated_time=kinds.one_of("30-120 seconds"),
        parameters=parameters,
    )
    return str(told["job_id"])


def polled(curl: Curl, job_id: str) -> dict[str, Any]:
    answer = curl(f"/status/{job_id}").json()
    done = answer["status"] == "completed"
    told = fields(
        answer,
        job_id=kinds.one_of(job_id),
        status=kinds.one_of("queued", "processing", "completed", "cancelled"),
        progress=kinds.whole,
        result_url=kinds.url if done else kinds.null,
        original_filename=kinds.text,
        processing_time=kinds.number if done else kinds.null,
        completed_at=kinds.unix if answer["status"] in {"completed", "cancelled"} else kinds.null,
    )
    assert (told["progress"] == 100) is done
    return told


def completed(curl: Curl, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        told = polled(curl, job_id)
        return told if told["status"] == "completed" else None

    return eventually(look, seconds=90, every_seconds=0.3)


@pytest.mark.parametrize(("form", "scale"), [((), 2), (("scale=4", "face_enhance=false"), 4)])
def test_status_is_polled_until_a_result_that_needs_no_token(curl: Curl, form: tuple[str, ...], scale: int) -> None:
    began = time.monotonic()
    job_id = queued(send(curl, *form, name="my photo.png"), scale=scale)
    told = completed(curl, job_id)
    assert told["original_filename"] == "my photo.png"
    assert 0 < told["processing_time"] <= time.monotonic() - began
    assert recent(told["completed_at"])
    assert told["result_url"].startswith(f"{curl.base}/")
    assert_same_picture(opened(curl(told["result_url"]).file()), PHOTO, factor=scale)
    assert curl(f"/job/{job_id}", "-X", "DELETE").detail(400)


@pytest.mark.usefixtures("frozen")
def test_status_cancels_what_nobody_has_begun(curl: Curl) -> None:
    job_id = queued(send(curl), scale=2)
    assert polled(curl, job_id)["status"] == "queued"
    canceled = curl(f"/job/{job_id}", "-X", "DELETE").json()
    assert canceled == {"message": "Job cancelled successfully"}
    told = polled(curl, job_id)
    assert told["status"] == "cancelled"
    assert recent(told["completed_at"])


def test_status_goes_on_without_faces_and_says_so(curl: Curl) -> None:
    answer = send(curl, "face_enhance=true")
    completed(curl, queued(answer, scale=2, face_enhance=True))
    assert "without" in answer.json()["message"]


def test_status_takes_a_form_of_a_page_from_disk(curl: Curl) -> None:
    answer = curl("/upscale", *FROM_DISK, "-F", curl.photo("photo.png", PNG))
    assert queued(answer, scale=2)
    assert answer.headers["access-control-allow-origin"] == "null"


def test_status_refuses_bad_parameters_and_what_is_too_large_with_400(curl: Curl) -> None:
    assert send(curl, "scale=3").detail(400)
    assert send(curl, "face_enhance=perhaps").detail(400)
    assert send(curl, data=b"no picture").detail(400)
    for megabytes in (15, 20):  # once the form is read, and before that
        assert "too large" in send(curl, data=PNG + bytes(megabytes * 1024 * 1024)).detail(400)
    assert curl("/upscale", "-F", "scale=2").detail(400)
    for method, path in (("GET", "/status/"), ("DELETE", "/job/")):
        assert curl(f"{path}00000000-0000-0000-0000-000000000000", "-X", method).detail(404)


def test_health_has_the_keys_of_every_dialect_and_they_are_true(curl: Curl) -> None:
    bus = kinds.having(used_memory=kinds.text, connected_clients=kinds.whole, total_connections_received=kinds.whole)
    system = dict.fromkeys(("cpu_usage", "memory_usage", "disk_usage"), kinds.percentage)
    told = fields(
        curl("/health").json(),
        status=kinds.one_of("healthy"),
        timestamp=kinds.unix,
        version=kinds.text,
        database=kinds.one_of("connected"),
        redis=kinds.one_of("connected"),
        redis_info=bus,
        system=kinds.having(**system, load_average=kinds.loads),
    )
    assert recent(told["timestamp"])
    assert 1 < float(told["redis_info"]["used_memory"].removesuffix("M")) < 4096
    assert 4 <= told["redis_info"]["connected_clients"] <= told["redis_info"]["total_connections_received"]
    disk = shutil.disk_usage("/")
    assert abs(told["system"]["disk_usage"] - 100 * disk.used / disk.total) < 2
    assert all(abs(said - real) < 5 for said, real in zip(told["system"]["load_average"], os.getloadavg(), strict=True))


def test_metrics_count_the_job_that_was_just_done(curl: Curl) -> None:
    before = figures(curl)
    completed(curl, queued(send(curl), scale=2))
    after = figures(curl)
    assert after["jobs"]["total_processed"] > before["jobs"]["total_processed"]
    assert after["jobs"]["average_processing_time"] > 0
    assert after["timestamp"] > before["timestamp"]
    assert recent(after["timestamp"])
    assert abs(after["system"]["disk_free_gb"] - shutil.disk_usage("/").free / 2**30) < 2
    for accept in ("text/plain; version=0.0.4", "application/openmetrics-text"):
        page = curl("/metrics", "-H", f"Accept: {accept}")
        assert page.headers["content-type"].startswith("text/plain; version=")
        assert b"# TYPE " in page.file()


def figures(curl: Curl) -> dict[str, Any]:
    shares = dict.fromkeys(("cpu_usage_percent", "memory_usage_percent", "disk_usage_percent"), kinds.share)
    bus = dict.fromkeys(("used_memory_mb", "operations_per_second"), kinds.number)
    return fields(
        curl("/metrics").json(),
        timestamp=kinds.unix,
        system=kinds.having(**shares, memory_available_gb=kinds.number, disk_free_gb=kinds.number),
        redis=kinds.having(connected_clients=kinds.whole, **bus),
        jobs=kinds.having(
            total_processed=kinds.whole, current_queue_length=kinds.whole, average_processing_time=kinds.number
        ),
    )
