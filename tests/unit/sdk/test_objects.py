"""Pictures under keys of one's own, and the jobs below a prefix."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from enlarger import Client, EnlargerError
from tests.unit.fake_bucket import FakeBucket
from tests.unit.fake_service import FakeTime, cut
from tests.unit.sdk.conftest import BODY

KEY = "trip/@x4/é a.jpg"


@pytest.fixture
def bucket() -> FakeBucket:
    return FakeBucket()


@pytest.fixture
def ours(bucket: FakeBucket, time: FakeTime) -> Iterator[Client]:
    with bucket.client(time) as client:
        yield client


def test_a_file_is_put_under_its_key_and_never_shows_the_token(ours: Client, bucket: FakeBucket, photo: Path) -> None:
    seen: list[tuple[int, int]] = []
    ours.put_object(photo, KEY, on_progress=lambda done, total: seen.append((done, total)))
    assert bucket.objects == {KEY: BODY}
    assert seen[-1] == (len(BODY), len(BODY))
    assert [one.headers.get("authorization") for one in bucket.requests if one.method == "PUT"] == [None]


def test_a_cut_upload_is_sent_again(ours: Client, bucket: FakeBucket, photo: Path) -> None:
    bucket.once("PUT", "/uploads", cut)
    ours.put_object(photo, KEY)
    assert bucket.objects == {KEY: BODY}


def test_a_refused_key_is_an_error_before_anything_is_sent(ours: Client, bucket: FakeBucket, photo: Path) -> None:
    with pytest.raises(EnlargerError, match="request_invalid"):
        ours.put_object(photo, "bad/a.jpg")
    assert bucket.sent() == []


def test_the_jobs_below_a_prefix_come_newest_first_over_all_pages(ours: Client, bucket: FakeBucket) -> None:
    for name in ("trip/1.jpg", "other/2.jpg", "trip/3.jpg", "trip/4.jpg", "trip/5.jpg"):
        bucket.put(name, etag="x", size_bytes=1)
    assert [job.source.key for job in ours.jobs_below("trip/")] == [f"trip/{number}.jpg" for number in (5, 4, 3, 1)]
    assert {one.url.params["limit"] for one in bucket.asked("GET", "/v1/jobs")} == {"200"}
