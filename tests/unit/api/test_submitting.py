"""Announcing uploads and submitting files."""

import base64
import json
from typing import Any

import pytest

from pipeline.errors import storage_unavailable
from pipeline.identity import job_of_key
from pipeline.job import Status
from tests.unit.api.conftest import MAX_UPLOAD_BYTES, World, later, pointers, problem

ASKED = {"filename": "a.jpg", "size_bytes": 123}


def announce(world: World, **fields: Any) -> Any:
    return world.alice.post("/v1/uploads", json=ASKED | fields)


def submit(world: World, body: bytes = b"picture", /, **fields: str) -> Any:
    return world.alice.post("/v1/jobs", files={"file": ("a.jpg", body, "image/jpeg")}, data=fields)


def test_an_announced_job_waits_for_its_file_on_a_key_that_holds_its_id(world: World) -> None:
    answer = announce(world, options={"scale": 2}, metadata={"album": "trip"}, webhook="https://hooks.test/x")
    assert answer.status_code == 201
    shown = answer.json()["job"]
    job = world.jobs.jobs[shown["id"]]
    assert (job.owner, job.status, job.source.bytes) == ("alice", Status.AWAITING_UPLOAD, 123)
    assert job_of_key(job.source.key) == job.id
    assert job.source.key.endswith("/a.jpg")
    assert (job.options.requested, job.metadata, job.webhook) == (
        {"scale": 2}, {"album": "trip"}, "https://hooks.test/x",
    )  # fmt: skip
    assert shown == world.alice.get(answer.headers["location"]).json()


def test_both_ways_to_send_the_file_name_the_public_address_and_end_with_the_job(world: World) -> None:
    answer = announce(world, content_type="image/jpeg").json()
    key = answer["job"]["source"]["key"]
    assert answer["put"]["url"].startswith(f"http://objects.test:9000/uploads/{key}?")
    assert answer["put"]["headers"] == {"Content-Length": "123"}
    assert answer["form"]["url"] == "http://objects.test:9000/uploads"
    policy = json.loads(base64.b64decode(answer["form"]["fields"]["policy"]))
    assert ["content-length-range", 1, 123] in policy["conditions"]
    assert ["eq", "$key", key] in policy["conditions"]
    assert ["eq", "$Content-Type", "image/jpeg"] in policy["conditions"]
    assert answer["expires_at"] == answer["job"]["expires_at"] == later(hours=1).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"size_bytes": 0}, "#/size_bytes"),
        ({"size_bytes": -1}, "#/size_bytes"),
        ({"size_bytes": MAX_UPLOAD_BYTES + 1}, "#/size_bytes"),
        ({"size_bytes": "12"}, "#/size_bytes"),
        ({"size_bytes": 1.5}, "#/size_bytes"),
        ({"size_bytes": True}, "#/size_bytes"),
        ({"size_bytes": None}, "#/size_bytes"),
        ({"filename": ""}, "#/filename"),
        ({"filename": "../.."}, "#/filename"),
        ({"filename": "photo.jpg.part"}, "#/filename"),
        ({"filename": 7}, "#/filename"),
        ({"content_type": "text"}, "#/content_type"),
        ({"content_type": "image/png\r\nx: y"}, "#/content_type"),
        ({"metadata": {"a.b": "c"}}, "#/metadata/a.b/[key]"),
        ({"metadata": {"$where": "c"}}, "#/metadata/$where/[key]"),
        ({"metadata": {"a/b~": "c"}}, "#/metadata/a~1b~0/[key]"),
        ({"metadata": {"a": 1}}, "#/metadata/a"),
        ({"metadata": {"a": "v" * 513}}, "#/metadata/a"),
        ({"metadata": {f"a{i}": "" for i in range(33)}}, "#/metadata"),
        ({"priority": "high"}, "#/priority"),
        ({"owner": "bob"}, "#/owner"),
    ],
)
def test_a_wrong_field_is_refused_by_its_pointer(world: World, fields: dict[str, Any], where: str) -> None:
    assert pointers(announce(world, **fields)) == [where]
    assert world.jobs.jobs == {}


def test_every_wrong_field_is_named_at_once(world: World) -> None:
    assert pointers(world.alice.post("/v1/uploads", json={"nonsense": 1})) == [
        "#/filename", "#/size_bytes", "#/nonsense",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 123.0, MAX_UPLOAD_BYTES])
def test_sizes_up_to_the_limit_are_taken(world: World, size: float) -> None:
    assert announce(world, size_bytes=size).status_code == 201


@pytest.mark.parametrize(
    "options",
    [
        *({"scale": 0.5}, {"scale": 17}, {"scale": "big"}, {"sharpness": 1}, {"format": "gif"}, "x4", [4], None),
        *({"scale": 2, "width": 9}, {"min": 2, "max": 1}, {"outputs": [{}] * 9}, {"fit": "wide"}),
    ],
)
def test_options_that_are_not_understood_are_refused_in_both_calls(world: World, options: object) -> None:
    assert problem(announce(world, options=options)) == (422, "options_invalid")
    assert problem(submit(world, options=json.dumps(options))) == (422, "options_invalid")
    assert world.jobs.jobs == {}


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"scale": 17}, ["#/options/scale"]),
        ({"sharpness": 1}, ["#/options/sharpness"]),
        ({"a/b~": 1}, ["#/options/a~1b~0"]),
        ({"scale": "big", "format": "gif", "lossless": True}, ["#/options/scale", "#/options/format"]),
        ({"outputs": [{}, {"format": "gif"}]}, ["#/options/outputs/1/format"]),
        ({"outputs": [{"a.b": 1}]}, ["#/options/outputs/0/a.b"]),
        ({"scale": 2, "fit": "8x6"}, ["#/options/scale", "#/options/fit"]),
        ([4], ["#/options"]),
    ],
)
def test_every_refused_option_is_named_by_its_pointer_in_both_calls(
    world: World, options: object, where: list[str]
) -> None:
    for answer in (announce(world, options=options), submit(world, options=json.dumps(options))):
        assert [error["pointer"] for error in answer.json()["errors"]] == where
        assert all(error["detail"] for error in answer.json()["errors"])


def test_a_refused_option_says_what_was_given_and_what_it_takes_in_both_calls(world: World) -> None:
    options = {"fit": "stretchy", "scael": 2}
    for answer in (announce(world, options=options), submit(world, options=json.dumps(options))):
        assert {error["pointer"]: error["detail"] for error in answer.json()["errors"]} == {
            "#/options/fit": "'stretchy' was given; it takes a box in pixels, such as 800x600",
            "#/options/scael": "there is no such option; did you mean scale?",
        }


def test_every_option_reaches_the_job_in_both_calls(world: World) -> None:
    asked = {
        "width": 800, "height": 600, "model": "lanczos", "denoise": "low", "face": True, "strength": 80,
        "format": "jpg", "quality": 90, "lossless": False, "metadata": "keep-gps", "gray": True, "preset": "photo",
        "precision": "fast", "outputs": [{"format": "webp", "width": 400}],
    }  # fmt: skip
    kept = asked | {"denoise": 33, "face": 100, "format": "jpeg"}
    for answer in (announce(world, options=asked), submit(world, options=json.dumps(asked))):
        shown = answer.json()
        assert shown.get("job", shown)["options"]["requested"] == kept


def test_a_refused_option_is_named_in_the_sentence_too(world: World) -> None:
    assert "scale" in announce(world, options={"scale": 17}).json()["detail"]


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.test", "//hooks.test/x", "ftp://hooks.test/", "javascript:alert(1)", "file:///etc/passwd",
        "https://", "https:///x", "https://user@hooks.test/", "https://user:pw@hooks.test/", "https://@hooks.test/",
        "https://hooks.test:0/", "https://hooks.test:99999/", "https://hooks.test:port/", "https://[::1/",
        "https://hooks.test/a b", "https://hooks.test/\n", "https://hooks.test\\@evil.test/", "https://hôte.test/",
        "https://hooks.test/" + "x" * 2048,
    ],
)  # fmt: skip
def test_a_webhook_that_cannot_be_called_is_refused_in_both_calls(world: World, url: str) -> None:
    assert problem(announce(world, webhook=url)) == (422, "webhook_url_refused")
    assert problem(submit(world, webhook=url)) == (422, "webhook_url_refused")


@pytest.mark.parametrize(
    "url", ["https://hooks.test", "http://127.0.0.1:9/x?y=%20#z", "https://[::1]:8443/", "HTTPS://xn--hte-8la.test/"]
)
def test_a_webhook_that_can_be_called_is_kept_as_given(world: World, url: str) -> None:
    job_id = announce(world, webhook=url).json()["job"]["id"]
    assert world.jobs.jobs[job_id].webhook == url


def test_a_model_that_no_live_worker_knows_is_refused_with_those_they_know(world: World) -> None:
    world.add_worker("one", "bicubic", "lanczos")
    world.add_worker("gone", "retired", seen_at=later(minutes=-3))
    answer = announce(world, options={"model": "retired"})
    assert problem(answer) == (422, "model_unknown")
    assert "bicubic, lanczos" in answer.json()["hint"]
    assert problem(submit(world, options='{"model": "retired"}')) == (422, "model_unknown")
    assert announce(world, options={"model": "lanczos"}).status_code == 201


def test_any_model_is_taken_while_no_worker_has_reported(world: World) -> None:
    assert announce(world, options={"model": "who-knows"}).status_code == 201


@pytest.mark.parametrize(
    ("body", "kind", "refusal"),
    [
        (b"{", "application/json", (400, "request_malformed")),
        (b"", "application/json", (400, "request_malformed")),
        (b"\xff", "application/json", (400, "request_malformed")),
        (b'{"filename": "\\ud800", "size_bytes": 1}', "application/json", (400, "request_malformed")),
        (b"[" * 5000, "application/json", (400, "request_malformed")),
        (b"[]", "application/json", (422, "request_invalid")),
        (b"{}", "text/plain", (415, "type_unsupported")),
        (b"{}", "", (415, "type_unsupported")),
        (b"a=b", "application/x-www-form-urlencoded", (415, "type_unsupported")),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    world: World, body: bytes, kind: str, refusal: tuple[int, str]
) -> None:
    answer = world.alice.post("/v1/uploads", content=body, headers={"content-type": kind})
    assert problem(answer) == refusal


def test_json_may_say_its_charset(world: World) -> None:
    kind = {"content-type": "Application/JSON; charset=utf-8"}
    assert world.alice.post("/v1/uploads", content=json.dumps(ASKED), headers=kind).status_code == 201


@pytest.mark.parametrize("size", [1, 7, 299_999])
def test_a_submitted_file_lands_whole_on_its_reserved_key(world: World, size: int) -> None:
    answer = submit(world, b"x" * size, options='{"scale": 2}', metadata='{"album": "trip"}')
    assert answer.status_code == 202
    shown = answer.json()
    assert (answer.headers["location"], answer.headers["retry-after"]) == (shown["urls"]["self"], "1")
    assert world.objects.stored["uploads", shown["source"]["key"]][1] == b"x" * size
    assert (shown["metadata"], shown["options"]["requested"]) == ({"album": "trip"}, {"scale": 2})
    assert world.jobs.jobs[shown["id"]].source.bytes == size


def test_the_answer_to_a_submission_shows_the_job_as_ingest_has_left_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = world.objects.put

    async def put_and_ingest(bucket: str, key: str, *args: Any, **fields: Any) -> str:
        job = world.jobs.jobs[job_of_key(key) or ""]
        world.jobs.jobs[job.id] = job.model_copy(update={"status": Status.QUEUED, "rev": 2})
        return await put(bucket, key, *args, **fields)

    monkeypatch.setattr(world.objects, "put", put_and_ingest)
    assert submit(world).json()["status"] == "queued"


def test_an_empty_file_is_refused(world: World) -> None:
    assert problem(submit(world, b"")) == (422, "image_empty")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"metadata": "{"}, "#/metadata"),
        ({"metadata": "[]"}, "#/metadata"),
        ({"metadata": '{"a": 1}'}, "#/metadata/a"),
        ({"scale": "4"}, "#/scale"),
    ],
)
def test_a_wrong_form_field_is_refused_by_its_pointer(world: World, fields: dict[str, str], where: str) -> None:
    assert pointers(submit(world, **fields)) == [where]


def test_empty_form_fields_say_nothing(world: World) -> None:
    assert submit(world, options="", metadata="").status_code == 202


def test_options_that_are_no_json_are_refused(world: World) -> None:
    assert problem(submit(world, options="scale=4")) == (422, "options_invalid")
    assert problem(submit(world, options="[" * 5000)) == (422, "options_invalid")
    assert [error["pointer"] for error in submit(world, options="scale=4").json()["errors"]] == ["#/options"]


def test_a_form_without_a_file_is_refused(world: World) -> None:
    kind = {"content-type": "multipart/form-data; boundary=b"}
    text = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'
    assert pointers(world.alice.post("/v1/jobs", content=b"--b--\r\n", headers=kind)) == ["#/file"]
    assert pointers(world.alice.post("/v1/jobs", content=text, headers=kind)) == ["#/file"]


def test_a_repeated_field_is_refused(world: World) -> None:
    files: Any = [("file", ("a.jpg", b"x")), ("options", (None, "{}")), ("options", (None, "{}"))]
    assert pointers(world.alice.post("/v1/jobs", files=files)) == ["#/options"]


def test_two_files_are_refused(world: World) -> None:
    files = [("file", ("a.jpg", b"x")), ("file", ("b.jpg", b"y"))]
    assert problem(world.alice.post("/v1/jobs", files=files)) == (400, "request_malformed")


def test_a_broken_form_is_refused(world: World) -> None:
    kind = {"content-type": "multipart/form-data"}
    assert problem(world.alice.post("/v1/jobs", content=b"x", headers=kind)) == (400, "request_malformed")


def test_a_body_that_is_neither_a_form_nor_json_is_refused(world: World) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert problem(world.alice.post("/v1/jobs", content=b"a=b", headers=kind)) == (415, "type_unsupported")


def test_odd_content_types_of_a_file_are_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []
    put = world.objects.put

    async def noting(*args: Any, content_type: str, **fields: Any) -> str:
        kinds.append(content_type)
        return await put(*args, content_type=content_type, **fields)

    monkeypatch.setattr(world.objects, "put", noting)
    for kind in ("image/PNG; x=y", "nonsense", "image/jpeg"):
        assert world.alice.post("/v1/jobs", files={"file": ("a.jpg", b"x", kind)}).status_code == 202
    assert kinds == ["image/png", "application/octet-stream", "image/jpeg"]


@pytest.mark.parametrize("error", [storage_unavailable("objects"), OSError("disk")])
def test_a_submission_whose_file_cannot_be_stored_leaves_a_failed_job(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def refuse(*_args: object, **_fields: object) -> str:
        raise error

    monkeypatch.setattr(world.objects, "put", refuse)
    answer = submit(world)
    assert problem(answer) == (503, "storage_unavailable")
    assert answer.headers["retry-after"] == "1"
    (job,) = world.jobs.jobs.values()
    assert job.status is Status.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("storage_unavailable", True)
    assert [message.subject for message in world.bus.published] == [f"events.job.{job.id}.failed"]
