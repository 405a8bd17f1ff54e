"""The application with every dialect on memory ports, and a worker that ends jobs while a client waits."""

import io
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.dialects.bus_figures import BusFigures
from api.dialects.setup import NAMES, Dialects, owners
from api.services import Services, wire
from pipeline.adapters.memory import MemoryAccounts, documents
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_credentials import MemoryCredentials
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.adapters.minio_presign import MinioPresigner
from pipeline.adapters.minio_store import Endpoint
from pipeline.egress import Egress
from pipeline.errors import PipelineError
from pipeline.identity import fingerprint
from pipeline.job import Failure, Job, Output, Status
from pipeline.option_values import FORMAT_NAMES
from pipeline.options import EXTENSIONS
from pipeline.ports.documents import Token
from tests.unit.api.conftest import MAX_PIXELS, MAX_UPLOAD_BYTES, NOW, RULES, World

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 9
JPEG = b"\xff\xd8\xff\xe0" + b"picture" * 9
GIF = b"GIF89a" + b"picture" * 9
RESULT = b"the enlarged picture"


@dataclass
class House(World):
    """A world whose worker ends every job while a client waits, unless `idle`."""

    idle: bool = False
    error: PipelineError | None = None
    size: tuple[int, int] = (100, 80)
    client: httpx2.Client = field(default_factory=httpx2.Client)

    async def pause(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if not self.idle:
            for job in list(self.jobs.jobs.values()):
                await self._work(job)

    def arrive(self) -> None:
        """Ingest has looked at the only upload."""
        job = self.only_job()
        info = self.objects.stored["uploads", job.source.key][0]
        source = job.source.model_copy(update={"etag": info.etag, "format": "jpeg"})
        self.jobs.jobs[job.id] = job.model_copy(update={"source": source, "status": Status.QUEUED})

    def work(self) -> None:
        """One turn of the worker."""
        self.call(lambda: self.pause(2.0))

    async def _work(self, job: Job) -> None:
        if job.terminal:
            return
        width, height = self.size
        source = job.source.model_copy(update={"width": width, "height": height})
        changes: dict[str, Any] = {"source": source, "started_at": self.now - timedelta(seconds=2)}
        changes |= {"completed_at": self.now, "rev": job.rev + 1}
        if self.error:
            changes |= {"status": Status.FAILED, "error": Failure.of(self.error)}
        else:
            changes |= {"status": Status.SUCCEEDED, "outputs": (await self._output(job),)}
        self.jobs.jobs[job.id] = job.model_copy(update=changes)

    async def _output(self, job: Job) -> Output:
        asked = job.options.requested
        factor, format_ = asked.get("scale", 4), FORMAT_NAMES[asked.get("format", "png")]
        width = asked.get("width") or int(self.size[0] * factor)
        height = asked.get("height") or int(self.size[1] * factor)
        key = f"{job.source.key}.{EXTENSIONS[format_]}"
        etag = await self.objects.put("outputs", key, RESULT, content_type=f"image/{format_}")
        sizes = {"bytes": len(RESULT), "width": width, "height": height, "format": format_}
        return Output(bucket="outputs", key=key, etag=etag, sha256="0", **sizes)

    def only_job(self) -> Job:
        (job,) = self.jobs.jobs.values()
        return job


async def bus_figures() -> BusFigures:
    return BusFigures(memory_bytes=1_258_291, connections=2, total_connections=45, messages_per_second=1.5)


Open = Callable[..., Any]
DIALECTS = Dialects(names=NAMES, tokens=owners("token1, token2"), anonymous=True, bus_figures=bus_figures)


@pytest.fixture
def opened() -> Open:
    """Open a house with other dialects, or other rules."""

    @asynccontextmanager
    async def services(house: House, dialects: Dialects) -> AsyncIterator[Services]:
        egress = Egress((), tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), deadline_seconds=5)
        yield await wire(
            house.documents,
            house.objects,
            MinioPresigner(Endpoint.parse("http://key:secret@objects.test:9000")),
            house.bus,
            credentials=MemoryCredentials(),
            egress=egress,
            clock=house.clock,
            quotas=house.quotas,
            allowance=house.allowance,
            rules=RULES,
            max_pixels=MAX_PIXELS,
            public_url="http://api.test",
            max_upload_bytes=MAX_UPLOAD_BYTES,
            dialects=dialects,
        )
        await egress.close()

    def open_(dialects: Dialects = DIALECTS, cors: tuple[str, ...] = ("*",)) -> tuple[House, TestClient]:
        house = House(documents(), MemoryObjects(), MemoryBus(), NOW)
        accounts = house.documents.accounts
        assert isinstance(accounts, MemoryAccounts)
        for owner in ("alice", "bob"):
            accounts.tokens[fingerprint(f"enl_{owner}")] = Token(owner, "user")
        accounts.tokens[fingerprint("enl_admin")] = Token("admin", "admin")
        set_ = replace(dialects, pause=house.pause)
        app = create_app(lambda: services(house, set_), dialects=set_.names, cors_origins=cors)
        return house, TestClient(app, base_url="http://api.test", follow_redirects=False)

    return open_


@pytest.fixture
def house(opened: Open) -> Iterator[House]:
    built, client = opened()
    with client:
        built.portal, built.client = client.portal, client
        yield built


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def picture(body: bytes = PNG, name: str = "photo.png") -> dict[str, Any]:
    return {"file": (name, io.BytesIO(body))}


def detail(response: httpx2.Response) -> tuple[int, str]:
    """The status and text of a refusal, which has no other keys unless the dialect says so."""
    return response.status_code, response.json()["detail"]
