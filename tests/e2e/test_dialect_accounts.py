"""The requests of the dialects `v1uploads`, `images` and `apiimages` as their own clients send them.

As `test_dialect_replays.py`, which has the other two: every documented field is there, of its kind, and true.
"""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.deployment import Deployment
from tests.e2e import replaying as kinds
from tests.e2e.replaying import Answer, Curl, bearer, fields
from tests.pictures import assert_same_picture, encoded, opened, photograph, psnr_db
from tests.waiting import eventually

PHOTO = photograph(30, 22)
PNG, JPEG = encoded(PHOTO, "PNG"), encoded(PHOTO)
PASSWORD = "a plain sentence"
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def curl(replayed: Curl, tmp_path: Path) -> Curl:
    return Curl(replayed.base, tmp_path)


def recent(moment: datetime) -> bool:
    return abs((datetime.now(UTC) - moment).total_seconds()) < 60


def post(curl: Curl, path: str, body: dict[str, Any], *more: str) -> Answer:
    """JSON by `curl -d`, which calls it a form."""
    return curl(path, "-X", "POST", "-d", json.dumps(body), *more)


# --- v1uploads --------------------------------------------------------------------------------------------------------


def upload(curl: Curl, *form: str, name: str = "photo.jpg", data: bytes = JPEG) -> Answer:
    extra = (part for field in form for part in ("-F", field))
    return curl("/api/v1/uploads", "-F", curl.photo(name, data), *extra)


def accepted(curl: Curl, answer: Answer) -> str:
    told = fields(answer.json(201), job_id=kinds.uuid, status=kinds.one_of("queued"), job_url=kinds.url)
    assert told["job_url"] == f"{curl.base}/job/{told['job_id']}"
    return str(told["job_id"])


def job_of(curl: Curl, path: str) -> dict[str, Any]:
    answer = curl(path).json()
    status = answer["status"]
    url = kinds.url if answer["original_url"] else kinds.null  # once the upload has been looked at
    told = fields(
        answer,
        job_id=kinds.one_of(path.rpartition("/")[2]),
        status=kinds.one_of("queued", "processing", "completed", "cancelled"),
        progress=kinds.whole,
        scale=kinds.one_of(2, 4),
        preset=kinds.one_of("standard", "photo", "art", "face"),
        denoise=kinds.one_of("none", "low", "medium", "high"),
        model=kinds.text,
        original_url=kinds.url if status == "completed" else url,
        result_url=kinds.url if status == "completed" else kinds.null,
        error=kinds.null,
        created_at=kinds.zulu,
        completed_at=kinds.zulu if status in {"completed", "cancelled"} else kinds.null,
    )
    assert (told["progress"] == 100) is (status == "completed")
    return told


def completed(curl: Curl, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        told = job_of(curl, f"/api/v1/jobs/{job_id}")
        return told if told["status"] == "completed" else None

    return eventually(look, seconds=90, every_seconds=0.3)


@pytest.mark.parametrize(
    ("form", "scale", "denoise", "model"),
    [((), 2, "none", "bicubic"), (("scale=4", "denoise=low", "model=lanczos"), 4, "low", "lanczos")],
)
def test_v1uploads_makes_a_png_of_what_anybody_sends(
    curl: Curl, form: tuple[str, ...], scale: int, denoise: str, model: str
) -> None:
    job_id = accepted(curl, upload(curl, *form))
    told = completed(curl, job_id)
    assert (told["scale"], told["preset"], told["denoise"], told["model"]) == (scale, "standard", denoise, model)
    assert recent(told["created_at"])
    assert told["created_at"] <= told["completed_at"] <= datetime.now(UTC)
    assert curl(told["original_url"]).file() == JPEG
    result = curl(told["result_url"])
    assert result.headers["content-type"] == "image/png"
    made = Image.open(io.BytesIO(result.file()))
    assert made.format == "PNG"
    assert_same_picture(opened(result.body), opened(JPEG), factor=scale)
    assert job_of(curl, f"/job/{job_id}") == told


def test_v1uploads_has_presets_with_models_of_their_own(curl: Curl) -> None:
    told = completed(curl, accepted(curl, upload(curl, "preset=photo", name="photo.png", data=PNG)))
    assert (told["preset"], told["model"]) == ("photo", "realesrgan-x4plus")
    assert_same_picture(opened(curl(told["result_url"]).file()), PHOTO, factor=2)


def test_v1uploads_refuses_what_it_never_took(curl: Curl) -> None:
    assert upload(curl, "scale=3").detail(422)
    assert upload(curl, "preset=fog").detail(422)
    assert upload(curl, data=encoded(PHOTO, "GIF")).detail(400)
    assert curl(f"/api/v1/jobs/{NOBODY}").detail(404)
    for folder in ("uploads", "results"):
        assert curl(f"/{folder}/{NOBODY}.png").detail(404)
    assert curl("/api/v1/health").json()["status"] == "healthy"


def test_v1uploads_is_administered_by_an_admin_who_signs_in_with_its_form(enlarger: Deployment, curl: Curl) -> None:
    account = {"email": "desk@example.com", "password": PASSWORD, "role": "admin"}
    enlarger.http.post("/v1/admin/users", json=account).raise_for_status()
    form = ("-d", "username=desk@example.com", "-d", f"password={PASSWORD}")
    signed = curl("/admin/login", *form).json()
    admin = bearer(kinds.text(signed["access_token"]))
    job_id = accepted(curl, upload(curl))
    completed(curl, job_id)
    again = curl(f"/api/v1/admin/jobs/{job_id}/requeue", "-X", "POST", *admin).json()
    assert again == {"job_id": job_id, "status": "queued"}
    completed(curl, job_id)
    enlarger.services["processors"].freeze()
    try:
        waiting = accepted(curl, upload(curl))
        canceled = curl(f"/api/v1/admin/jobs/{waiting}/cancel", "-X", "POST", *admin).json()
        assert canceled == {"job_id": waiting, "status": "cancelled"}
        assert job_of(curl, f"/api/v1/jobs/{waiting}")["status"] == "cancelled"
    finally:
        enlarger.services["processors"].thaw()
    assert curl(f"/api/v1/admin/jobs/{job_id}/cancel", "-X", "POST").detail(401)
    assert curl("/admin/logout", "-X", "POST", *admin).json()
    assert curl(f"/api/v1/admin/jobs/{job_id}/requeue", "-X", "POST", *admin).detail(401)


# --- images -----------------------------------------------------------------------------------------------------------

LOGIN = {
    "access_token": kinds.text,
    "refresh_token": kinds.text,
    "token_type": kinds.one_of("bearer"),
    "expires_in": kinds.one_of(1800),
}


def image_of(told: Any, *, owner: str, name: str, description: str | None) -> dict[str, Any]:
    read = fields(
        told,
        id=kinds.uuid,
        user_id=kinds.one_of(owner),
        name=kinds.one_of(name),
        description=kinds.one_of(description),
        s3_url=kinds.url,
        uploaded_at=kinds.zulu,
    )
    assert recent(read["uploaded_at"])
    return read


def test_images_keeps_the_pictures_of_whoever_registered(curl: Curl) -> None:
    who = {"email": "dora@example.com", "password": "password", "name": "Dora"}  # as their own example has it
    made = post(curl, "/auth/register", who).json(201)
    assert made["email"] == who["email"]
    assert post(curl, "/auth/register", who).detail(409)
    login = fields(post(curl, "/auth/login", {"email": who["email"], "password": who["password"]}).json(), **LOGIN)
    login = fields(post(curl, "/auth/refresh", {"refresh_token": login["refresh_token"]}).json(), **LOGIN)
    token = bearer(login["access_token"])

    form = ("-F", curl.photo("before.png", PNG), "-F", "description=before")
    kept = {"owner": made["id"], "name": "before.png", "description": "before"}
    told = image_of(curl("/images/upload", *form, *token).json(), **kept)
    assert curl(told["s3_url"]).file() == PNG
    second = curl("/images/upload", "-F", curl.photo("after.png", PNG), *token).json()
    image_of(second, owner=made["id"], name="after.png", description=None)
    listed = curl("/images/my-images?skip=0&limit=10", *token).json()
    assert [one["id"] for one in listed] == [second["id"], told["id"]]
    (older,) = curl("/images/my-images?skip=1&limit=10", *token).json()
    assert image_of(older, **kept)["id"] == told["id"]
    assert image_of(curl(f"/images/{told['id']}", *token).json(), **kept)["id"] == told["id"]

    assert curl(f"/images/{told['id']}", *bearer("token1")).status in {401, 404}
    assert curl(f"/images/{told['id']}", "-X", "DELETE", *token).json()["message"]
    assert curl(f"/images/{told['id']}", *token).detail(404)
    assert curl("/images/my-images", *bearer("nothing")).detail(401)


def test_images_works_for_a_page_of_another_origin(curl: Curl) -> None:
    page = ("-H", "Origin: https://page.test", "-H", "Sec-Fetch-Site: cross-site")
    wanted = ("-H", "Access-Control-Request-Method: DELETE", "-H", "Access-Control-Request-Headers: authorization")
    preflight = curl(f"/images/{NOBODY}", "-X", "OPTIONS", *page, *wanted)
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (200, "https://page.test")
    assert "DELETE" in preflight.headers["access-control-allow-methods"]
    who = {"email": "page@example.com", "password": PASSWORD, "name": "Page"}
    made = post(curl, "/auth/register", who, *page, "-H", "Content-Type: application/json")
    assert made.headers["access-control-allow-origin"] == "https://page.test"
    assert curl("/images/my-images", *page, *bearer(made.json(201)["access_token"])).json() == []
    other = ("-H", "Origin: https://evil.test", "-H", "Sec-Fetch-Site: cross-site")
    assert post(curl, "/auth/register", who | {"email": "evil@example.com"}, *other).detail(403)


# --- apiimages --------------------------------------------------------------------------------------------------------


def test_apiimages_makes_gray_pictures_of_800_by_600_for_whoever_registered(curl: Curl) -> None:
    who = {"name": "emil", "password": PASSWORD}
    fields(post(curl, "/api/register", who).json(201), access_token=kinds.text)
    assert post(curl, "/api/register", who).detail(409)
    assert post(curl, "/api/login", who | {"password": "another sentence"}).detail(401)
    token = bearer(fields(post(curl, "/api/login", who).json(), access_token=kinds.text)["access_token"])

    told = curl("/api/upload", "-F", curl.photo("photo.gif", encoded(PHOTO, "GIF")), *token).json(202)
    told = fields(told, id=kinds.uuid, status=kinds.one_of("queued"))
    assert curl("/api/upload", "-F", curl.photo("no.txt", b"nothing"), *token).detail(400)

    def look() -> bool:
        read = fields(curl(f"/api/images/{told['id']}", *token).json(), id=kinds.one_of(told["id"]), status=kinds.text)
        return bool(read["status"] == "completed")

    eventually(look, seconds=60, every_seconds=0.3)
    waited = curl("/api/upload?sync=true", "-F", curl.photo("photo.png", PNG), *token).json()
    fields(waited, id=kinds.uuid, status=kinds.one_of("completed"))
    listed = curl("/api/images", *token).json()
    assert listed == [{"id": one, "status": "completed"} for one in (waited["id"], told["id"])]
    assert_stretched(curl(f"/api/images/{waited['id']}/result", *token).file())
    assert curl(f"/api/images/{waited['id']}/result").detail(401)
    assert curl(f"/api/images/{NOBODY}", *token).detail(404)


def assert_stretched(body: bytes) -> None:
    """Gray, exactly 800x600, and with the whole picture in it, whatever its shape was."""
    made = Image.open(io.BytesIO(body))
    assert (made.size, made.mode) == ((800, 600), "L")
    source = Image.open(io.BytesIO(PNG)).convert("L").resize((800, 600), Image.Resampling.LANCZOS)
    assert psnr_db(np.asarray(made), np.asarray(source)) > 25
