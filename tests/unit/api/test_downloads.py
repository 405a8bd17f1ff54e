"""The file of a result through the API: whole, in part, not again, and under a name that is safe."""

from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ranges import RangeUnsatisfiableError, span_of
from pipeline.job import Job, Output, Status
from tests.unit.api.conftest import World, problem

BODY = bytes(range(256)) * 4
SHA256 = "785b0751fc2c53dc14a4ce3d800e69ef9ce1009eb327ccf458afe09c242c26c9"


def finished(world: World, key: str = 'trip/@x4/a b;é".jpg', body: bytes = BODY) -> Job:
    etag = world.call(lambda: world.objects.put("outputs", key, body, content_type="image/jpeg"))
    output = Output(
        bucket="outputs", key=key, etag=etag, sha256=SHA256, bytes=len(body), width=4, height=4, format="jpeg"
    )
    return world.add_job(status=Status.SUCCEEDED, outputs=(output,))


def fetch(world: World, job: Job, method: str = "GET", **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.alice.request(method, f"/v1/jobs/{job.id}/result?redirect=false", headers=named)


def test_the_file_itself_comes_with_its_name_its_digest_and_as_nothing_that_runs(world: World) -> None:
    job = finished(world)
    answer = fetch(world, job)
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20b%3B%C3%A9%22.jpg"
    assert answer.headers["etag"] == f'"{job.outputs[0].etag}"'
    assert answer.headers["repr-digest"].startswith("sha-256=:eFsHUfwsU9wUpM49gA5p75zhAJ6zJ8z0WK/gnCQsJsk=:")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=5-", 5, 1023), ("bytes=-3", 1021, 1023), ("bytes=7-9999", 7, 1023)],
)
def test_a_part_of_the_file_comes_as_206(world: World, asked: str, first: int, last: int) -> None:
    answer = fetch(world, finished(world), range=asked)
    assert (answer.status_code, answer.content) == (206, BODY[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/1024"
    assert answer.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=9-2", "bytes=", "bytes=-", "nonsense"])
def test_a_range_that_is_not_understood_is_ignored(world: World, asked: str) -> None:
    assert fetch(world, finished(world), range=asked).status_code == 200


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=-0", f"bytes={10**17}-"])
def test_a_part_behind_the_end_is_a_416_that_tells_the_size(world: World, asked: str) -> None:
    answer = fetch(world, finished(world), range=asked)
    assert problem(answer) == (416, "range_unsatisfiable")
    assert answer.headers["content-range"] == "bytes */1024"


def test_a_part_of_another_version_is_the_whole_of_this_one(world: World) -> None:
    job = finished(world)
    mine = f'"{job.outputs[0].etag}"'
    assert fetch(world, job, range="bytes=0-3", if_range=mine).status_code == 206
    for other in ('"other"', f"W/{mine}", "Sun, 01 Nov 2026 00:00:00 GMT"):
        assert fetch(world, job, range="bytes=0-3", if_range=other).status_code == 200


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_the_file_is_not_sent_it_again(world: World, known: str) -> None:
    job = finished(world)
    answer = fetch(world, job, if_none_match=known.format(f'"{job.outputs[0].etag}"'))
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{job.outputs[0].etag}"'


def test_a_head_tells_all_but_the_bytes(world: World) -> None:
    answer = fetch(world, finished(world), "HEAD")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "1024")


@pytest.mark.parametrize("headers", [{}, {"if_none_match": "*"}, {"range": "bytes=0-1"}])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_is_gone_or_replaced_is_a_410(world: World, method: str, headers: dict[str, str]) -> None:
    gone, replaced = finished(world, "gone.jpg"), finished(world, "replaced.jpg")
    world.call(lambda: world.objects.delete("outputs", "gone.jpg"))
    world.call(lambda: world.objects.put("outputs", "replaced.jpg", b"newer", content_type="image/jpeg"))
    for job in (gone, replaced):
        answer = fetch(world, job, method, **headers)
        assert answer.status_code == 410
        assert method == "HEAD" or problem(answer) == (410, "output_expired")


def test_a_job_without_a_result_says_so_before_anything_is_sent(world: World) -> None:
    assert problem(fetch(world, world.add_job())) == (409, "job_not_finished")


@given(size=st.integers(1, 2000), header=st.one_of(st.text(), st.from_regex(r"bytes=\d*-\d*", fullmatch=True)))
def test_a_span_is_always_within_the_file(size: int, header: str) -> None:
    try:
        span = span_of(header, size)
    except RangeUnsatisfiableError:
        return
    assert span is None or 0 <= span[0] <= span[1] < size


@given(size=st.integers(1, 2000), data=st.data())
def test_every_part_that_is_in_the_file_is_found(size: int, data: Any) -> None:
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, size - 1))
    assert span_of(f"bytes={first}-{last}", size) == (first, last)
    assert span_of(f"Bytes = {first}-", size) == (first, size - 1)
    assert span_of(f"bytes=-{size - first}", size) == (first, size - 1)
