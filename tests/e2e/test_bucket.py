"""The S3 drop-in on real servers: a picture goes into one bucket and comes back enlarged in the other."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.deployment import Deployment
from tests.pictures import assert_same_picture, encoded, opened, photograph
from tests.waiting import eventually

STAGES = {"queue", "get", "decode", "device", "gate", "encode", "put"}


def aws(enlarger: Deployment, *arguments: str) -> None:
    done = enlarger.run("aws", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_aws_s3_cp_brings_the_same_picture_back_four_times_as_large(enlarger: Deployment, tmp_path: Path) -> None:
    photo = photograph(96, 80)
    (tmp_path / "photo.jpg").write_bytes(encoded(photo))
    aws(enlarger, "s3", "cp", str(tmp_path / "photo.jpg"), "s3://uploads/@x4/photo.jpg")
    large = opened(enlarger.output("@x4/photo.jpg", seconds=120))
    assert_same_picture(large, opened((tmp_path / "photo.jpg").read_bytes()), factor=4)


def test_the_job_of_an_upload_tells_its_story_with_times_per_stage(enlarger: Deployment) -> None:
    key = "story/@x2,m-lanczos/photo.jpg"
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=encoded(photograph(64, 48)))
    job = enlarger.job_of(key)
    assert job["status"] == "succeeded"
    assert job["options"]["effective"]["scale"] == 2
    said = {name: origin for name, origin in job["options"]["origin"].items() if origin != "default"}
    assert said == {"scale": "segment", "model": "segment", "format": "source"}
    assert [output["key"] for output in job["outputs"]] == [key]
    metrics = enlarger.http.get(f"/v1/jobs/{job['id']}/metrics").raise_for_status().json()
    assert set(metrics["stages_seconds"]) == STAGES
    assert all(metrics["stages_seconds"][stage] > 0 for stage in STAGES)
    assert (metrics["engine"], metrics["plan"]["tiles"]) == ("cv2", 1)
    assert metrics["fidelity"]["psnr_db"] > 30
    assert metrics["input"]["width"] * 2 == metrics["output"]["width"] == 128


def test_one_upload_gives_the_outputs_and_the_depth_that_were_asked_for(enlarger: Deployment) -> None:
    """16 bits in, 16 bits out, a smaller WebP beside it, and a word about what WebP cannot hold."""
    key = "several/@w200,m-bicubic/deep.png"
    done, body = cv2.imencode(".png", photograph(100, 80).astype(np.uint16) * 257)
    assert done
    extra = {"up-outputs": '[{"format": "webp", "width": 50}]', "up-metadata": "strip"}
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=body.tobytes(), Metadata=extra)
    job = enlarger.job_of(key)
    assert [(one["role"], one["key"], one["width"]) for one in job["outputs"]] == [
        ("main", key, 200),
        ("extra", f"{key}.w50.webp", 50),
    ]
    deep = cv2.imdecode(np.frombuffer(enlarger.output(key), np.uint8), cv2.IMREAD_UNCHANGED)
    assert deep is not None
    assert (deep.shape, deep.dtype.itemsize) == ((160, 200, 3), 2)
    assert opened(enlarger.output(f"{key}.w50.webp")).shape == (40, 50, 3)
    assert job["quality"]["psnr_db"] > 30
    assert job["notes"] == []


def test_aws_s3_sync_of_a_folder_gives_the_same_tree_back(enlarger: Deployment, tmp_path: Path) -> None:
    names = ("a.jpg", "deep/b é +%.png", "deep/er/c.webp")
    for name, format_ in zip(names, ("JPEG", "PNG", "WEBP"), strict=True):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(encoded(photograph(40, 30), format_))
    (tmp_path / "photos" / ".DS_Store").write_bytes(b"left behind")
    aws(enlarger, "s3", "sync", str(tmp_path / "photos"), "s3://uploads/trip/@x3,m-bicubic/")
    for name in names:
        enlarger.output(f"trip/@x3,m-bicubic/{name}")
    aws(enlarger, "s3", "sync", "s3://outputs/trip/@x3,m-bicubic", str(tmp_path / "back"))
    back = sorted(str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*.*"))
    assert back == sorted(names)
    assert all(opened((tmp_path / "back" / name).read_bytes()).shape == (90, 120, 3) for name in names)


def test_object_metadata_asks_for_options_and_a_new_format_is_appended(enlarger: Deployment) -> None:
    metadata = {"up-scale": "2", "up-format": "webp", "up-model": "lanczos", "somebody-elses": "note"}
    body = encoded(photograph(33, 21))
    enlarger.s3.put_object(Bucket="uploads", Key="meta/a.jpg", Body=body, Metadata=metadata)
    output = enlarger.output("meta/a.jpg.webp")
    assert (output[8:12], opened(output).shape) == (b"WEBP", (42, 66, 3))


def test_an_overwritten_upload_ends_with_the_newest_picture(enlarger: Deployment) -> None:
    first, second = photograph(50, 50), np.ascontiguousarray(photograph(200, 200)[100:150, 100:150])
    key = "again/@x2,m-lanczos/a.png"
    for picture in (first, second, first, second):
        enlarger.s3.put_object(Bucket="uploads", Key=key, Body=encoded(picture, "PNG"))
    newest = enlarger.s3.head_object(Bucket="uploads", Key=key)["ETag"].strip('"')

    def settled() -> bool:
        items = enlarger.http.get("/v1/jobs", params={"key": key}).json()["items"]
        newest_done = any(item["source"]["etag"] == newest and item["status"] == "succeeded" for item in items)
        return newest_done and all(item["completed_at"] for item in items)

    eventually(settled, what="the end of all jobs of the key")
    statuses = {item["status"] for item in enlarger.http.get("/v1/jobs", params={"key": key}).json()["items"]}
    assert statuses <= {"succeeded", "canceled"}
    assert_same_picture(opened(enlarger.output(key)), second, factor=2)


def header_of(width: int, height: int) -> bytes:
    """A PNG that only claims its size."""
    small = bytearray(encoded(photograph(8, 8), "PNG"))
    small[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(small)


BAD = {
    "truncated.jpg": (encoded(photograph(200, 200))[:-2000], "image_truncated"),
    "empty.jpg": (b"", "image_empty"),
    "text.jpg": (b"this is no picture\n" * 100, "format_unsupported"),
    "huge.png": (header_of(60_000, 60_000), "image_too_large"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "format_unsupported"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_fails_with_a_code_a_hint_and_an_error_file(enlarger: Deployment, name: str) -> None:
    body, code = BAD[name]
    key = f"bad/@x2,m-lanczos/{name}"
    worker = enlarger.services["processors"].pid
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=body)
    job = enlarger.job_of(key)
    assert (job["status"], job["error"]["code"]) == ("failed", code)
    assert job["error"]["hint"]
    problem = enlarger.output(f"{key}.error.json").decode()
    assert job["id"] in problem
    assert code in problem
    assert enlarger.services["processors"].pid == worker


def test_a_good_upload_after_a_bad_one_removes_the_error_file(enlarger: Deployment) -> None:
    key = "mended/@x2,m-lanczos/a.jpg"
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=b"not yet")
    enlarger.output(f"{key}.error.json")
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=encoded(photograph(20, 20)))
    enlarger.output(key)
    enlarger.job_of(key)
    listed = enlarger.s3.list_objects_v2(Bucket="outputs", Prefix="mended/")["Contents"]
    assert [item["Key"] for item in listed] == [key]


def test_a_segment_that_does_not_parse_is_an_error_file_and_never_a_default(enlarger: Deployment) -> None:
    enlarger.s3.put_object(Bucket="uploads", Key="typo/@x44x/a.jpg", Body=encoded(photograph(20, 20)))
    assert "options_invalid" in enlarger.output("typo/@x44x/a.jpg.error.json").decode()
