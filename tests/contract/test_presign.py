"""Presigned uploads and downloads, used as a client of ours would, against MinIO itself."""

from collections.abc import AsyncIterator
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest

from pipeline.adapters.minio_presign import MinioPresigner
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.ports.objects import ObjectMissingError
from tests.servers import Servers

pytestmark = pytest.mark.anyio

SIZE = 1000
BODY = b"x" * SIZE
ODD = "é a+b%2F ~'(1).png"


@pytest.fixture
async def client(anyio_backend: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as opened:
        yield opened


@pytest.fixture
def presigner(servers: Servers) -> MinioPresigner:
    return MinioPresigner(Endpoint.parse(servers.of("api").minio))


@pytest.fixture
async def store(servers: Servers, anyio_backend: str) -> AsyncIterator[MinioObjects]:
    """As a worker sees it: who signs cannot read uploads."""
    opened = MinioObjects(Endpoint.parse(servers.of("processors").minio))
    yield opened
    await opened.close()


@pytest.fixture(params=["a.png", ODD])
def key(request: pytest.FixtureRequest) -> str:
    return f"jobs/{uuid4().hex}/presign/{request.param}"


async def post(
    client: httpx2.AsyncClient, url: str, fields: dict[str, str], body: bytes = BODY, type_: str = "image/png"
) -> httpx2.Response:
    """A browser's form: the fields, then the file."""
    return await client.post(url, data=fields, files={"file": ("photo.png", body, type_)})


async def is_missing(store: MinioObjects, key: str) -> bool:
    try:
        await store.head("uploads", key)
    except ObjectMissingError:
        return True
    return False


async def test_a_put_of_exactly_the_declared_size_is_taken(
    client: httpx2.AsyncClient, presigner: MinioPresigner, store: MinioObjects, key: str
) -> None:
    put = presigner.put(key, size_bytes=SIZE, expires_seconds=60)
    assert put.headers == {"Content-Length": str(SIZE)}
    assert (await client.put(put.url, content=BODY, headers=put.headers)).status_code == 200
    assert (await store.read("uploads", key))[1] == BODY


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1, 0])
async def test_a_put_of_any_other_size_is_refused(
    client: httpx2.AsyncClient, presigner: MinioPresigner, store: MinioObjects, key: str, size: int
) -> None:
    put = presigner.put(key, size_bytes=SIZE, expires_seconds=60)
    assert (await client.put(put.url, content=b"x" * size)).status_code == 403
    assert await is_missing(store, key)


async def test_a_put_to_another_key_or_with_unsigned_metadata_is_refused(
    client: httpx2.AsyncClient, presigner: MinioPresigner, store: MinioObjects, key: str
) -> None:
    put = presigner.put(key, size_bytes=SIZE, expires_seconds=60)
    other = put.url.replace("/presign/", "/elsewhere/")
    assert (await client.put(other, content=BODY)).status_code == 403
    answer = await client.put(put.url, content=BODY, headers={"x-amz-meta-up-scale": "16"})
    assert answer.status_code in {400, 403}
    assert await is_missing(store, key)


async def test_a_put_that_has_expired_is_refused(
    client: httpx2.AsyncClient, presigner: MinioPresigner, store: MinioObjects, key: str
) -> None:
    put = presigner.put(key, size_bytes=SIZE, expires_seconds=-1)
    assert (await client.put(put.url, content=BODY)).status_code in {400, 403}
    assert await is_missing(store, key)


@pytest.mark.parametrize("size", [1, SIZE - 1, SIZE])
@pytest.mark.parametrize("content_type", [None, "image/png"])
async def test_a_form_within_the_range_is_taken(
    client: httpx2.AsyncClient,
    presigner: MinioPresigner,
    store: MinioObjects,
    key: str,
    size: int,
    content_type: str | None,
) -> None:
    form = presigner.form(key, size_bytes=SIZE, content_type=content_type, expires_seconds=60)
    assert (await post(client, form.url, form.fields, BODY[:size])).status_code == 204
    assert (await store.read("uploads", key))[1] == BODY[:size]


@pytest.mark.parametrize("size", [0, SIZE + 1, 100 * SIZE])
async def test_a_form_outside_the_range_is_refused(
    client: httpx2.AsyncClient, presigner: MinioPresigner, store: MinioObjects, key: str, size: int
) -> None:
    form = presigner.form(key, size_bytes=SIZE, content_type=None, expires_seconds=60)
    assert (await post(client, form.url, form.fields, b"x" * size)).status_code == 400
    assert await is_missing(store, key)


@pytest.mark.parametrize(
    "changes",
    [{"key": "jobs/elsewhere/a.png"}, {"Content-Type": "text/html"}, {"x-amz-meta-up-scale": "16"}],
    ids=["key", "type", "metadata"],
)
async def test_a_form_that_was_changed_is_refused(
    client: httpx2.AsyncClient, presigner: MinioPresigner, store: MinioObjects, key: str, changes: dict[str, str]
) -> None:
    form = presigner.form(key, size_bytes=SIZE, content_type="image/png", expires_seconds=60)
    assert (await post(client, form.url, form.fields | changes)).status_code == 403
    assert await is_missing(store, key)
    assert await is_missing(store, "jobs/elsewhere/a.png")


async def test_a_form_that_has_expired_is_refused(
    client: httpx2.AsyncClient, presigner: MinioPresigner, store: MinioObjects, key: str
) -> None:
    form = presigner.form(key, size_bytes=SIZE, content_type=None, expires_seconds=-1)
    assert (await post(client, form.url, form.fields)).status_code == 403
    assert await is_missing(store, key)


@pytest.mark.parametrize("filename", ["photo-x4.png", ODD, 'say "cheese"; \\.png'])
async def test_a_download_saves_under_the_name_it_was_signed_for(
    client: httpx2.AsyncClient, presigner: MinioPresigner, store: MinioObjects, key: str, filename: str
) -> None:
    await store.put("outputs", key, BODY, content_type="image/png")
    url = presigner.get("outputs", key, filename=filename, expires_seconds=60)
    answer = await client.get(url)
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{quote(filename, safe='')}"


async def test_a_download_of_another_key_is_refused(
    client: httpx2.AsyncClient, presigner: MinioPresigner, store: MinioObjects, key: str
) -> None:
    await store.put("outputs", key.replace("presign/", "private/"), BODY, content_type="image/png")
    url = presigner.get("outputs", key, filename="a.png", expires_seconds=60)
    assert (await client.get(url.replace("/presign/", "/private/"))).status_code == 403


def test_signing_needs_no_server() -> None:
    presigner = MinioPresigner(Endpoint.parse("http://KEY:SECRET@minio.example:9"))
    urls = [
        presigner.form("a.png", size_bytes=1, content_type=None, expires_seconds=60).url,
        presigner.put("a.png", size_bytes=1, expires_seconds=60).url,
        presigner.get("outputs", "a.png", filename="a.png", expires_seconds=60),
    ]
    assert all(url.startswith("http://minio.example:9/") for url in urls)
    assert not any("SECRET" in url for url in urls)
