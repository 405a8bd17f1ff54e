"""OWASP ASVS 5.0, chapter 5 (file handling), a test per item. Quotas (5.2.4) have tests of their own."""

import base64
import json
import re
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.filenames import clean_filename
from pipeline.adapters.minio_presign import MinioPresigner
from pipeline.adapters.minio_store import Endpoint
from pipeline.errors import PipelineError
from pipeline.header import check_limits, measure
from pipeline.identity import job_of_key, new_job_id, reserved_key
from pipeline.job import Status
from processors.sandbox import Limits, Sandbox
from tests.fixtures import photo, png, saved
from tests.making import picture
from tests.unit.api.conftest import MAX_PIXELS, MAX_UPLOAD_BYTES, World, pointers, problem
from tests.unit.intake_desk import Desk

CLONE = Path(__file__).parents[3]
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
#: Line breaks, NUL, escapes, overrides of direction, separators, quotes.
NASTY = "a\r\n\0\x1b\u202e\u2028/\\.;\"'%<>é漢\U0001f600 ~"
NAMES = st.text(alphabet=NASTY, max_size=60) | st.text(max_size=200)


def huge(width: int = 60_000, height: int = 60_000) -> bytes:
    """A few bytes that say they are thousands of millions of pixels."""
    return png(width, height, bits=8, colour=2, rows=b"")


def policy_of(form: dict[str, Any]) -> list[Any]:
    conditions: list[Any] = json.loads(base64.b64decode(form["fields"]["policy"]))["conditions"]
    return conditions


def test_asvs_5_2_1_a_permission_to_upload_is_for_so_many_bytes_and_one_key(world: World) -> None:
    made = world.alice.post("/v1/uploads", json={"filename": "a.png", "size_bytes": 1234}).json()
    conditions = policy_of(made["form"])
    assert ["content-length-range", 1, 1234] in conditions
    assert ["eq", "$key", made["job"]["source"]["key"]] in conditions
    assert "content-length" in parse_qs(urlsplit(made["put"]["url"]).query)["X-Amz-SignedHeaders"][0]
    assert made["put"]["headers"]["Content-Length"] == "1234"


@pytest.mark.parametrize("excess", [1, 10**15])
def test_asvs_5_2_1_no_way_takes_more_bytes_than_an_upload_may_have(world: World, excess: int) -> None:
    announced = world.alice.post("/v1/uploads", json={"filename": "a.png", "size_bytes": MAX_UPLOAD_BYTES + excess})
    assert pointers(announced) == ["#/size_bytes"]
    body = b"x" * (MAX_UPLOAD_BYTES + 1)
    form = world.alice.post("/v1/jobs", files={"file": ("a.png", body, "image/png")})
    assert pointers(form) == ["#/size_bytes"]
    inline = world.alice.post("/v1/jobs", json={"base64": base64.b64encode(body).decode()})
    assert problem(inline)[1] in ("image_too_large", "body_too_large")
    world.call(lambda: world.objects.put("uploads", "~alice/large.png", body, content_type="image/png"))
    stored = world.alice.post("/v1/jobs", json={"bucket": "uploads", "key": "~alice/large.png"})
    assert problem(stored) == (422, "image_too_large")
    assert world.jobs.jobs == {}


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo"])
@pytest.mark.parametrize("body", [SVG, HTML, b"MZ\x90\x00", b"%PDF-1.7", b"PK\x03\x04", b"GIF89", b"\x7fELF"])
async def test_asvs_5_2_2_what_is_no_picture_is_refused_whatever_it_is_called(name: str, body: bytes) -> None:
    job = await Desk().send(name, body + b"\n" * 64)
    assert (job.status, job.error and job.error.code) == (Status.FAILED, "format_unsupported")


@pytest.mark.anyio
async def test_asvs_5_2_2_a_picture_is_what_its_bytes_say_and_not_what_its_name_says() -> None:
    job = await Desk().send("photo.jpg", picture(format_="PNG"))
    assert (job.status, job.source.format) == (Status.QUEUED, "png")


@pytest.mark.anyio
async def test_asvs_5_2_2_what_hides_behind_a_picture_does_not_come_out_with_it() -> None:
    """A polyglot is decoded as the picture that it is, and made anew: not a byte of the rest is copied."""
    sandbox = Sandbox(slots=1)
    sandbox.start()
    try:
        for format_ in ("PNG", "JPEG"):
            decoded = await sandbox.decode(saved(photo(), format_) + HTML, limits=Limits(1_000_000, 20))
            made = bytes(await sandbox.encode(decoded, format="png"))
            assert b"<script>" not in made
            assert made.endswith(b"IEND\xaeB`\x82")
    finally:
        sandbox.close()


@pytest.mark.anyio
async def test_asvs_5_2_6_too_many_pixels_are_refused_by_their_header_alone(world: World) -> None:
    assert len(huge()) < 200
    job = await Desk().send("huge.png", huge())
    assert (job.status, job.error and job.error.code) == (Status.FAILED, "image_too_large")


def test_asvs_5_2_6_a_dry_run_refuses_them_too(world: World) -> None:
    answer = world.alice.post("/v1/jobs?dry_run=true", json={"base64": base64.b64encode(huge()).decode()})
    assert problem(answer) == (422, "image_too_large")


def test_asvs_5_2_6_the_size_is_known_from_the_header_alone() -> None:
    header = measure(huge())
    assert header is not None
    with pytest.raises(PipelineError) as caught:
        check_limits(header, max_pixels=MAX_PIXELS)
    assert caught.value.code == "image_too_large"


@given(name=NAMES)
def test_asvs_5_3_2_the_place_of_a_file_is_made_by_us(name: str) -> None:
    """Whatever a client calls it, it lies in the folder of its own job, one segment below."""
    try:
        cleaned = clean_filename(name)
    except ValueError:
        return
    job_id = new_job_id()
    assert job_of_key(reserved_key(job_id, cleaned)) == job_id
    assert not any(unicodedata.category(char).startswith("C") for char in cleaned)
    assert cleaned not in (".", "..")
    assert not {"/", "\\"} & set(cleaned)


@pytest.mark.parametrize(
    "key", ["../bob/a.png", "~bob/../~alice/a.png", "jobs/../~bob/a.png", "/etc/passwd", "~alice/./../~bob/a.png"]
)
def test_asvs_5_3_2_a_key_with_dots_is_no_way_into_another_home(world: World, key: str) -> None:
    """Keys are names and no paths: nothing resolves them."""
    world.call(lambda: world.objects.put("uploads", "~bob/a.png", picture(), content_type="image/png"))
    refused = world.alice.post("/v1/jobs", json={"bucket": "uploads", "key": key})
    assert refused.status_code in (404, 422)
    assert world.jobs.jobs == {}


@given(name=NAMES)
def test_asvs_5_4_1_and_5_4_2_a_file_name_in_an_answer_is_a_name_and_nothing_else(name: str) -> None:
    """RFC 6266 and RFC 8187: only ASCII goes on the wire, and it says the name as it was."""
    name = name.encode(errors="ignore").decode()
    url = MinioPresigner(Endpoint.parse("http://key:secret@objects.test:9000")).get(
        "outputs", "jobs/job_1/a.png", filename=name, expires_seconds=60
    )
    (disposition,) = parse_qs(urlsplit(url).query)["response-content-disposition"]
    given_ = re.fullmatch(r"attachment; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]*)", disposition)
    assert given_ is not None
    assert unquote(given_[1]) == name


def test_asvs_5_4_1_a_result_is_saved_under_the_name_of_its_output(world: World) -> None:
    job = world.add_job(status=Status.SUCCEEDED)
    answer = world.alice.get(f"/v1/jobs/{job.id}/result", follow_redirects=False)
    assert "attachment%3B%20filename" in answer.headers["location"]


def test_asvs_5_4_3_pictures_are_decoded_where_nothing_can_be_reached() -> None:
    """`test_decode_confined.py` holds what a decoder cannot do; here only that nothing else opens one."""
    decoders = re.compile(r"^\s*(from|import) (PIL|cv2|numpy|imageio)", re.MULTILINE)
    files = [path for name in ("api", "ingest", "notifier") for path in (CLONE / name).rglob("*.py")]
    assert len(files) > 50
    assert [path for path in files if decoders.search(path.read_text())] == []
