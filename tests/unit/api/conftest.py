"""The application on memory ports; every answer that a test gets is held against the OpenAPI description."""

import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from ipaddress import ip_network
from typing import Any

import httpx2
import pytest
from anyio.from_thread import BlockingPortal
from argon2 import PasswordHasher
from openapi_schema_validator import OAS31Validator
from starlette.testclient import TestClient

from api.accounts.accounts import Rules
from api.app import TABLE, create_app, openapi
from api.envelope import HEADERS
from api.limits import LimitName
from api.live.crowd import Crowds
from api.live.hub import Hub
from api.live.places import Places
from api.services import Services, wire
from pipeline.adapters.memory import MemoryAccounts, MemoryJobs, documents
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_credentials import MemoryCredentials
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.adapters.minio_presign import MinioPresigner
from pipeline.adapters.minio_store import Endpoint
from pipeline.egress import Egress
from pipeline.identity import fingerprint, new_job_id
from pipeline.job import Failure, Job, Output, Source, Status
from pipeline.ports.documents import Documents, Token
from pipeline.ports.quotas import QuotaName

LOOPBACK = (ip_network("127.0.0.0/8"),)
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MAX_UPLOAD_BYTES = 300_000
#: Anybody may register, and a hash costs next to nothing.
RULES = Rules("k" * 40, registration=True, hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
MAX_PIXELS = 1_000_000
DOCS_OWN = {"cache-control", "content-security-policy"}
TOKENS = {"admin": "enl_admin", "alice": "enl_alice", "bob": "enl_bob"}
#: What is otherwise where a picture is sent.
FILE_HEADERS = {
    "cache-control": "private, no-cache",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}


@dataclass
class World:
    """Everything a test can touch: ports in memory, a clock, and one client per owner."""

    documents: Documents
    objects: MemoryObjects
    bus: MemoryBus
    now: datetime = NOW
    quotas: dict[LimitName, int] = field(default_factory=dict)
    allowance: dict[QuotaName, int] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    portal: BlockingPortal | None = None
    live: Hub | None = None
    crowds: Crowds | None = None
    paused: list[float] = field(default_factory=list)
    meanwhile: Callable[[], None] | None = None
    app: TestClient | None = None
    clients: dict[str, httpx2.Client] = field(default_factory=dict)

    async def pause(self, seconds: float) -> None:
        """What stands for a wait: no time passes, and what was to happen meanwhile does."""
        self.paused.append(seconds)
        if self.meanwhile is not None:
            self.meanwhile()

    def clock(self) -> datetime:
        return self.now

    @property
    def jobs(self) -> MemoryJobs:
        assert isinstance(self.documents.jobs, MemoryJobs)
        return self.documents.jobs

    @property
    def alice(self) -> httpx2.Client:
        return self.clients["alice"]

    @property
    def bob(self) -> httpx2.Client:
        return self.clients["bob"]

    @property
    def admin(self) -> httpx2.Client:
        return self.clients["admin"]

    @property
    def nobody(self) -> httpx2.Client:
        return self.clients["nobody"]

    def add_job(self, owner: str = "alice", status: Status = Status.QUEUED, **changes: Any) -> Job:
        """Store a job in *status*; a finished one has its output in the store."""
        id_ = new_job_id()
        key = f"jobs/{id_}/a.jpg"
        source = Source(bucket="uploads", key=key)
        job = Job(id=id_, owner=owner, status=status, created_at=NOW, updated_at=NOW, source=source)
        if status is Status.SUCCEEDED:
            etag = self.call(lambda: self.objects.put("outputs", key, b"big", content_type="image/jpeg"))
            output = Output(bucket="outputs", key=key, etag=etag, sha256="0", bytes=3, width=4, height=4, format="jpeg")
            job = job.model_copy(update={"outputs": (output,)})
        if status is Status.FAILED:
            error = Failure(code="image_truncated", detail="It ends early.", hint="Upload all of it.")
            job = job.model_copy(update={"error": error})
        job = job.model_copy(update=changes)
        self.jobs.jobs[id_] = job
        return job

    def add_worker(self, name: str, *models: str, seen_at: datetime = NOW, **fields: Any) -> None:
        entries = [{"name": model, "scales": [4], "available": True} for model in models]
        document = {"engine": "openvino", "precision": "f32", "models": entries, "seen_at": seen_at, **fields}
        self.call(lambda: self.documents.workers.report(name, document))

    def call(self, function: Any) -> Any:
        """Run something asynchronous on the application's own loop."""
        assert self.portal is not None
        return self.portal.call(function)


@pytest.fixture
def rules() -> Rules:
    return RULES


@pytest.fixture
def world(rules: Rules) -> Iterator[World]:
    built = World(documents(), MemoryObjects(), MemoryBus())
    accounts = built.documents.accounts
    assert isinstance(accounts, MemoryAccounts)
    for owner, token in TOKENS.items():
        accounts.tokens[fingerprint(token)] = Token(owner, "admin" if owner == "admin" else "user")
        accounts.secrets[owner] = f"whsec_{owner}"

    @asynccontextmanager
    async def open_services() -> AsyncIterator[Services]:
        egress = Egress(LOOPBACK, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), deadline_seconds=5)
        services = await wire(
            built.documents,
            built.objects,
            MinioPresigner(Endpoint.parse("http://key:secret@objects.test:9000")),
            built.bus,
            credentials=MemoryCredentials(),
            egress=egress,
            clock=built.clock,
            quotas=built.quotas,
            allowance=built.allowance,
            places=built.places,
            public_url="http://api.test",
            max_upload_bytes=MAX_UPLOAD_BYTES,
            rules=rules,
            max_pixels=MAX_PIXELS,
            pause=built.pause,
        )
        built.live, built.crowds = services["live"], services["crowds"]
        yield services
        await egress.close()

    with TestClient(create_app(open_services)) as running:
        built.portal, built.app = running.portal, running
        for owner in (*TOKENS, "nobody"):
            built.clients[owner] = httpx2.Client(
                base_url="http://api.test",
                transport=running._transport,
                headers={"authorization": f"Bearer {TOKENS[owner]}"} if owner in TOKENS else {},
                event_hooks={"response": [described]},
            )
        yield built


def described(response: httpx2.Response) -> None:
    """Every answer is one that the description announces, in shape and in headers."""
    response.read()
    assert response.headers["x-request-id"]
    headers = HEADERS | (FILE_HEADERS if "etag" in response.headers else {})
    if response.url.path.startswith("/docs"):  # a page, and what it loads: test_docs_page.py
        headers = {name: said for name, said in headers.items() if name not in DOCS_OWN}
    assert {name: response.headers.get(name) for name in headers} == headers
    if response.is_error:
        assert response.headers["content-type"] == "application/problem+json"
    if response.is_error and response.request.method != "HEAD":
        assert response.json()["request_id"] == response.headers["x-request-id"]
        assert response.json()["status"] == response.status_code
    if response.status_code == 405:
        return
    path = next((line.path for line in TABLE if _matches(line.path, response.url.path)), None)
    if path is None:
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        return
    method = "get" if response.request.method == "HEAD" else response.request.method.lower()
    answers = openapi()["paths"][path][method]["responses"]
    assert str(response.status_code) in answers, f"{method} {path} does not announce {response.status_code}"
    for kind, content in answers[str(response.status_code)].get("content", {}).items():
        assert fnmatchcase(response.headers["content-type"].partition(";")[0], kind)
        if response.request.method != "HEAD" and "schema" in content:
            schema = content["schema"] | {"components": openapi()["components"]}
            OAS31Validator(schema).validate(response.json())


def _matches(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path) is not None


def problem(response: httpx2.Response) -> tuple[int, str]:
    """The status and code of a refusal."""
    return response.status_code, response.json()["code"]


def pointers(response: httpx2.Response) -> list[str]:
    assert problem(response) == (422, "request_invalid")
    return [error["pointer"] for error in response.json()["errors"]]


def later(**span: float) -> datetime:
    return NOW + timedelta(**span)
