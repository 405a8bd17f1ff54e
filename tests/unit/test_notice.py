"""Bucket notifications as MinIO and versitygw write them, and the keys that nobody wants enlarged."""

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.notice import Notice, parse
from pipeline.errors import UnparseableError
from pipeline.keys import ignored

SEQUENCER = "18A1B2C3D4E5F607"
ETAG = "9e107d9d372bb6826bd81d3542a419d6"
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def read(body: bytes) -> Notice:
    notice = parse(body)
    assert notice
    return notice


def notification(event: str, object_: dict[str, Any], *, key: str = "trip/@x4/a.jpg") -> bytes:
    """Every field that MinIO sends (cmd/event-notification.go of minio/minio)."""
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-01-02T03:04:05.678Z",
        "eventName": event,
        "userIdentity": {"principalId": "owner"},
        "requestParameters": {"principalId": "owner", "region": "us-east-1", "sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-id-2": "dd9025bab4ad464b049177c95eb6ebf374d3b3fd1af9251148b658df7ac2e3e8",
            "x-amz-request-id": "1886F5B1D2C3A4E5",
            "x-minio-deployment-id": "f1f1f1f1-0000-0000-0000-000000000000",
            "x-minio-origin-endpoint": "http://127.0.0.1:9000",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {
                "name": "uploads",
                "ownerIdentity": {"principalId": "owner"},
                "arn": "arn:aws:s3:::uploads",
            },
            "object": {"key": quote_plus(key), "sequencer": SEQUENCER} | object_,
        },
        "source": {"host": "127.0.0.1", "port": "", "userAgent": "MinIO (linux; amd64) minio-py/7.2.20"},
    }
    return json.dumps({"EventName": event, "Key": f"uploads/{key}", "Records": [record]}).encode()


CREATED = {
    "size": 142_000,
    "eTag": ETAG,
    "contentType": "image/jpeg",
    "userMetadata": {"X-Amz-Meta-Up-Scale": "2", "content-type": "image/jpeg"},
}
WHOLE = Notice("created", "trip/@x4/a.jpg", SEQUENCER, ETAG)


@pytest.mark.parametrize(
    ("event", "object_", "notice"),
    [
        ("s3:ObjectCreated:Put", CREATED, WHOLE),
        ("s3:ObjectCreated:Post", CREATED, WHOLE),
        ("s3:ObjectCreated:Copy", CREATED, WHOLE),
        (
            "s3:ObjectCreated:CompleteMultipartUpload",
            CREATED | {"eTag": f"{ETAG}-3"},
            Notice("created", "trip/@x4/a.jpg", SEQUENCER, f"{ETAG}-3"),
        ),
        # versioned buckets; a suspended one says null
        ("s3:ObjectCreated:Put", CREATED | {"versionId": "null"}, WHOLE),
        (
            "s3:ObjectCreated:Put",
            {name: CREATED[name] for name in ("eTag", "contentType")},
            WHOLE,
        ),  # size 0 is left out
        # one that failed within a fan-out has neither size nor ETag
        ("s3:ObjectCreated:Post", {}, Notice("created", "trip/@x4/a.jpg", SEQUENCER, None)),
        ("s3:ObjectRemoved:Delete", {}, Notice("removed", "trip/@x4/a.jpg", SEQUENCER, None)),
        (
            "s3:ObjectRemoved:DeleteMarkerCreated",
            {"versionId": "4c8f"},
            Notice("removed", "trip/@x4/a.jpg", SEQUENCER, None),
        ),
    ],
)
def test_what_minio_writes_is_understood(event: str, object_: dict[str, Any], notice: Notice) -> None:
    assert parse(notification(event, object_)) == notice


@given(keys)
def test_every_key_survives_the_escaping_of_the_wire(key: str) -> None:
    assert read(notification("s3:ObjectCreated:Put", CREATED, key=key)).key == key


@pytest.mark.parametrize(
    ("escaped", "key"),
    [
        ("ph%2F%C3%A9+%2B%25%2Fa+b%252F.txt", "ph/é +%/a b%2F.txt"),  # as a server wrote it
        ("a%2Bb", "a+b"),
        ("a+b", "a b"),
        ("a%2520b", "a%20b"),
        ("%F0%9F%98%80~-_..png", "😀~-_..png"),
    ],
)
def test_a_key_is_unescaped_exactly_once(escaped: str, key: str) -> None:
    assert read(notification("s3:ObjectCreated:Put", CREATED | {"key": escaped})).key == key


@given(one=st.integers(0, 2**64 - 1), other=st.integers(0, 2**64 - 1), upper=st.booleans())
def test_sequencers_compare_as_the_moments_they_are(one: int, other: int, *, upper: bool) -> None:
    written = [f"{moment:X}" if upper else f"{moment:x}" for moment in (one, other)]
    first, second = (read(notification("s3:ObjectRemoved:Delete", {"sequencer": text})).sequencer for text in written)
    assert (first < second) == (one < other)


def of_gateway(event: str, *, key: str = "trip/@x4/a+b %2F.jpg", count: int = 1, bucket: str = "uploads") -> bytes:
    """Every field that versitygw 1.7.0 sends, as it was received (s3event/event.go)."""
    record = {
        "eventVersion": "2.2",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-21T08:11:25Z",
        "eventName": event,
        "userIdentity": {"PrincipalId": "gateway"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "", "x-amz-id-2": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "webhook-global",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"PrincipalId": "gateway"},
                "arn": f"arn:aws:s3:::/{bucket}/{key}",
            },
            "object": {"key": key, "size": 1, "eTag": f'"{ETAG}"', "versionId": None, "sequencer": f"{count:X}"},
        },
        "glacierEventData": {"restoreEventData": {"lifecycleRestorationExpiryTime": ""}},
    }
    return json.dumps({"Records": [record]}).encode()


def test_what_a_gateway_writes_is_understood_and_ordered_by_time_and_then_by_count() -> None:
    first, second = (read(of_gateway("s3:ObjectCreated:Put", count=count)) for count in (1, 2))
    assert (first.kind, first.key, first.etag) == ("created", "trip/@x4/a+b %2F.jpg", ETAG)
    assert first.sequencer < second.sequencer
    moment = int(datetime(2026, 11, 21, 8, 11, 25, tzinfo=UTC).timestamp()) * 10**9
    assert {int(notice.sequencer, 16) // 10**6 for notice in (first, second)} == {moment // 10**6}
    assert read(of_gateway("s3:ObjectRemoved:DeleteObjects")).kind == "removed"


@pytest.mark.parametrize(
    "body",
    [
        b'{"Bucket":"Test-Bucket","Event":"s3:TestEvent","Service":"S3","Time":"2026-11-21T08:11:25Z"}',
        of_gateway("s3:ObjectTagging:Put"),
        of_gateway("s3:ObjectCreated:Put", bucket="outputs"),
        notification("s3:ObjectAccessed:Get", CREATED),
    ],
)
def test_what_tells_of_no_upload_is_no_notice_and_no_error(body: bytes) -> None:
    assert parse(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        notification("s3:ObjectCreated:Put", CREATED | {"sequencer": "not hex"}),
        notification("s3:ObjectCreated:Put", CREATED | {"sequencer": ""}),
        notification("s3:ObjectCreated:Put", CREATED).replace(b'"Records": [', b'"Records": [1, '),
        notification("s3:ObjectCreated:Put", CREATED).replace(b'"Records"', b'"Other"'),
        b'{"EventName":"s3:ObjectCreated:Put","Records":[]}',
    ],
)
def test_anything_else_is_unparseable_and_never_another_error(body: bytes) -> None:
    with pytest.raises(UnparseableError):
        parse(body)


@given(st.binary())
def test_no_bytes_break_the_parser(body: bytes) -> None:
    with pytest.raises(UnparseableError):
        parse(body)


def put_at(place: list[str], value: Any, body: bytes) -> bytes:
    """*body* with another value at one place of its record."""
    message = json.loads(body)
    inner = message["Records"][0]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return json.dumps(message).encode()


PLACES = [
    *(["eventName"], ["eventSource"], ["eventTime"], ["s3"], ["s3", "bucket"], ["s3", "bucket", "name"]),
    *(["s3", "object"], ["s3", "object", "key"], ["s3", "object", "sequencer"], ["s3", "object", "eTag"]),
]
odd = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.from_regex(r"[0-9A-Fa-f]{1,34}", fullmatch=True)
    | st.datetimes(timezones=st.none() | st.just(UTC)).map(lambda moment: moment.isoformat())
    | st.lists(st.integers(), max_size=2)
)


@given(st.booleans(), st.sampled_from(PLACES), odd)
def test_whatever_a_field_holds_the_sequencer_sorts_by_time_or_the_message_is_refused(
    gateway: bool,  # noqa: FBT001 - drawn
    place: list[str],
    value: Any,
) -> None:
    event = "s3:ObjectCreated:Put"
    body = put_at(place, value, of_gateway(event) if gateway else notification(event, CREATED))
    try:
        notice = parse(body)
    except UnparseableError:
        return
    assert notice is None or re.fullmatch("[0-9A-F]{16}", notice.sequencer)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T00:00:00Z"])
def test_a_time_that_would_sort_wrongly_is_refused(moment: str) -> None:
    with pytest.raises(UnparseableError):
        parse(put_at(["eventTime"], moment, of_gateway("s3:ObjectCreated:Put")))


def test_a_sequencer_that_would_sort_wrongly_is_refused() -> None:
    with pytest.raises(UnparseableError):
        parse(notification("s3:ObjectCreated:Put", CREATED | {"sequencer": f"1{SEQUENCER}"}))
    padded = read(notification("s3:ObjectCreated:Put", CREATED | {"sequencer": f"00{SEQUENCER}"}))
    assert padded.sequencer == SEQUENCER


@pytest.mark.parametrize(
    "key",
    [
        *("trip/", ".hidden.png", "trip/.DS_Store", ".git/a.png", "trip/._a.jpg", "a.png.part", "trip/Thumbs.db"),
        *("desktop.ini", "trip/@eaDir/a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", ".enlarger-canary/1"),
    ],
)
def test_what_nobody_wants_enlarged_is_ignored(key: str) -> None:
    assert ignored(key)


@pytest.mark.parametrize(
    "key",
    ["a.png", "trip/@x4/a.jpg", "a", "part", "a.part.png", "thumbs.db.png", "a.b/c", "@@eaDir/a.png", "ö/😀.webp"],
)
def test_everything_else_is_taken_in(key: str) -> None:
    assert not ignored(key)
