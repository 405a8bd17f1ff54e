"""What a job would be: the same decisions as ingest makes, and nothing kept; models and presets with their schemas."""

import json
import struct
import zlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from pipeline.job import Status
from pipeline.layers import PRESETS
from pipeline.options import Options
from pipeline.ports.prefixes import Binding
from pipeline.sizes import MAX_FACTOR, MAX_OUTPUT_PIXELS
from tests.unit.api.conftest import MAX_PIXELS, MAX_UPLOAD_BYTES, NOW, World, problem


def png(width: int = 40, height: int = 30) -> bytes:
    """The head of a PNG of that size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def ask(world: World, body: bytes = png(), query: str = "dry_run=true", **options: Any) -> Any:
    files = {"file": ("a.png", body, "image/png")}
    return world.alice.post(f"/v1/jobs?{query}", files=files, data={"options": json.dumps(options)})


@pytest.fixture(autouse=True)
def nothing_kept(world: World) -> Iterator[None]:
    yield
    assert [job for job in world.jobs.jobs.values() if job.owner == "alice"] == []
    assert world.bus.published == []
    assert [key for bucket, key in world.objects.stored if bucket == "uploads" and key.startswith("jobs/")] == []


def test_a_dry_run_tells_the_options_that_would_hold_and_where_they_come_from(world: World) -> None:
    told = ask(world, scale=2, format="webp").json()
    assert told["options"]["requested"] == {"scale": 2, "format": "webp"}
    assert (told["options"]["effective"]["scale"], told["options"]["origin"]["scale"]) == (2, "request")
    assert (told["options"]["effective"]["face"], told["options"]["origin"]["face"]) == (0, "default")
    assert told["source"] == {"bytes": len(png()), "format": "png", "width": 40, "height": 30}
    assert told["limits"] == {
        "upload_bytes": MAX_UPLOAD_BYTES, "pixels": MAX_PIXELS,
        "output_pixels": MAX_OUTPUT_PIXELS, "factor": MAX_FACTOR,
    }  # fmt: skip


def test_a_dry_run_tells_the_size_of_every_output(world: World) -> None:
    told = ask(world, width=100, outputs=[{"format": "jpeg", "width": 50}]).json()
    assert told["outputs"] == [
        {"role": "main", "format": "png", "width": 100, "height": 75},
        {"role": "extra", "format": "jpeg", "width": 50, "height": 38},
    ]


def test_what_only_decoding_tells_is_null(world: World) -> None:
    tiff = b"II*\0" + struct.pack("<I", 200_000) + b"\0" * 100_000
    told = ask(world, tiff).json()
    assert (told["source"]["format"], told["source"]["width"]) == ("tiff", None)
    assert told["outputs"] == [{"role": "main", "format": "tiff", "width": None, "height": None}]


def test_the_preset_of_an_owner_holds_as_it_would(world: World) -> None:
    world.call(lambda: world.documents.prefixes.bind(Binding("alice", "", "photo")))
    told = ask(world).json()
    assert (told["options"]["effective"]["denoise"], told["options"]["origin"]["denoise"]) == (33, "preset:photo")


def test_a_stored_object_is_estimated_with_its_metadata(world: World) -> None:
    put = world.objects.put
    world.call(lambda: put("uploads", "~alice/a.png", png(), content_type="", metadata={"up-scale": "3"}))
    told = world.alice.post("/v1/jobs?dry_run=1", json={"bucket": "uploads", "key": "~alice/a.png"}).json()
    assert (told["outputs"][0]["width"], told["options"]["origin"]["scale"]) == (120, "metadata")


def test_a_dry_run_tells_the_place_and_between_when_it_would_end(world: World) -> None:
    world.add_worker("one", "realesrgan-x4plus")
    for number in range(20):
        ended = NOW - timedelta(seconds=2 * number + 0.001)
        times = {"queued_at": NOW - timedelta(hours=1), "started_at": ended - timedelta(seconds=2)}
        world.add_job("bob", Status.SUCCEEDED, **times, completed_at=ended)
    for number in range(3):
        world.add_job("bob", queued_at=NOW - timedelta(seconds=number + 1))
    told = ask(world).json()
    queue = told["queue"]
    assert (queue["lane"], queue["position"], told["status_reason"]) == ("interactive", 3, "waiting_for_turn")
    assert queue["eta_low_seconds"] < queue["eta_seconds"] < queue["eta_high_seconds"]


def test_a_dry_run_tells_what_the_job_would_wait_for(world: World) -> None:
    told = ask(world).json()
    assert (told["status_reason"], told["queue"]["eta_seconds"]) == ("no_worker", None)


@pytest.mark.parametrize(
    ("body", "options", "code"),
    [
        (png(1001, 1000), {}, "image_too_large"),
        (png(1100, 800), {"scale": 16, "format": "webp"}, "format_limit_exceeded"),
        (png(), {"lossless": True, "format": "jpeg"}, "options_invalid"),
        (png(), {"width": 4000}, "options_invalid"),
        (png()[:20], {}, "image_truncated"),
        (b"no picture", {}, "format_unsupported"),
        (b"", {}, "image_empty"),
    ],
)
def test_what_would_fail_is_refused_with_the_code_that_the_job_would_have(
    world: World, body: bytes, options: dict[str, Any], code: str
) -> None:
    assert problem(ask(world, body, **options)) == (422, code)


def test_a_model_that_nobody_knows_is_refused(world: World) -> None:
    world.add_worker("one", "lanczos")
    assert problem(ask(world, model="unheard-of")) == (422, "model_unknown")


@pytest.mark.parametrize("query", ["dry_run=perhaps", "dryrun=true", "dry_run=true&dry_run=false"])
def test_a_query_that_is_not_understood_is_refused(world: World, query: str) -> None:
    assert problem(ask(world, query=query)) == (422, "request_invalid")


def test_a_dry_run_takes_up_no_key(world: World) -> None:
    files = {"file": ("a.png", png(), "image/png")}
    for path in ("/v1/jobs?dry_run=true", "/v1/jobs?dry_run=true"):
        answer = world.alice.post(path, files=files, headers={"idempotency-key": "a"})
        assert (answer.status_code, "idempotent-replayed" in answer.headers) == (200, False)


def valid(schema: dict[str, Any], options: dict[str, Any]) -> bool:
    return bool(OAS31Validator(schema).is_valid(options))


def test_a_model_comes_with_the_schema_of_its_options(world: World) -> None:
    world.add_worker("one", "lanczos", "realesrgan-x4plus")
    told = world.alice.get("/v1/models/lanczos").json()
    assert (told["name"], told["available"]) == ("lanczos", True)
    schema = told["options_schema"]
    OAS31Validator.check_schema(schema)
    assert schema["properties"].keys() == Options.model_fields.keys()
    assert all(field.get("description") or "const" in field for field in schema["properties"].values())
    assert valid(schema, {"scale": 2, "model": "lanczos", "outputs": [{"format": "webp"}]})
    for wrong in ({"model": "realesrgan-x4plus"}, {"scale": 17}, {"scael": 2}, {"outputs": [{"x": 1}]}):
        assert not valid(schema, wrong)


def test_a_model_that_nobody_knows_has_no_page(world: World) -> None:
    assert problem(world.alice.get("/v1/models/lanczos")) == (404, "model_not_found")


def test_presets_tell_their_values_and_the_schema_of_all_options(world: World) -> None:
    told = world.alice.get("/v1/presets").json()
    assert {item["name"]: item["options"] for item in told["items"]} == {
        name: said.model_dump(exclude_none=True) for name, said in PRESETS.items()
    }
    assert all(valid(told["options_schema"], item["options"]) for item in told["items"])
    assert valid(told["options_schema"], {"preset": "photo", "model": "any-model"})
    assert not valid(told["options_schema"], {"preset": "unheard-of"})


@pytest.mark.parametrize("path", ["/v1/presets", "/v1/models/lanczos"])
def test_nobody_unknown_is_told(world: World, path: str) -> None:
    assert problem(world.nobody.get(path)) == (401, "token_invalid")
