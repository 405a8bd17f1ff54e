"""An Enlarger service and its object store in memory, behind `httpx2.MockTransport`, and a clock that never waits."""

import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio.lowlevel
import httpx2

from enlarger import AsyncClient, Client, Clock

API = "http://api.test"
STORE = "http://store.test"
TOKEN = "enl_secret"

Job = dict[str, Any]
#: Answers in the service's place, or raises as a broken connection does; None lets the service answer.
Fault = Callable[[httpx2.Request], httpx2.Response | None]


@dataclass
class FakeTime:
    """Seconds that pass only when somebody sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, sleep=self.sleep, chance=lambda: 0.0, pause=self.pause)

    async def pause(self, seconds: float) -> None:
        self.sleep(seconds)


class FakeService:
    """Takes uploads, moves a job one step with each look at it, and hands out `big:` + the upload."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[httpx2.Request] = []
        self.path_of_job: tuple[str, ...] = ("queued", "processing", "succeeded")
        self.failure: dict[str, Any] | None = None
        self.notes: list[str] = []
        self.further: list[dict[str, Any]] = []
        self.doctor: dict[str, Any] = {"checks": [], "workers": []}
        self.page = 2
        #: What is answered to who follows a job live; in the end nobody is.
        self.streams: list[httpx2.Response] = []
        self.put_headers = {"x-signed": "yes"}
        self._faults: list[tuple[str, str, Fault]] = []
        self._lock = threading.Lock()

    def client(self, time: FakeTime | None = None) -> Client:
        return Client(API, TOKEN, transport=self.transport, clock=(time or FakeTime()).clock())

    def async_client(self, time: FakeTime | None = None) -> AsyncClient:
        return AsyncClient(API, TOKEN, transport=Asynchronous(self), clock=(time or FakeTime()).clock())

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self)

    def once(self, method: str, path: str, fault: Fault) -> None:
        """Let *fault* meet the next request of *method* to a path that holds *path*."""
        self._faults.append((method, path, fault))

    def asked(self, method: str, path: str) -> list[httpx2.Request]:
        return [request for request in self.requests if request.method == method and path in request.url.path]

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault[0] == request.method and fault[1] in request.url.path:
                    self._faults.remove(fault)
                    answer = fault[2](request)
                    if answer is not None:
                        return answer
                    break
            return self._store(request) if request.url.host == "store.test" else self._api(request)

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        if not self._admitted(request.headers.get("authorization", "")):
            return refused(401, "token_invalid", "The token is not known.", "Send a token that is.")
        match [request.method, *request.url.path.strip("/").split("/")[1:]]:
            case ["POST", "uploads"]:
                answer = self._announce(json.loads(request.content))
            case ["POST", "jobs"]:
                answer = self._submit(request)
            case ["GET", "jobs"]:
                answer = self._page(request.url.params)
            case ["GET", "jobs", job_id]:
                answer = self._look(job_id)
            case [_, "jobs", job_id, action] if job_id in self.jobs:
                answer = self._act(self.jobs[job_id], action)
            case ["GET", "models"]:
                answer = httpx2.Response(200, json={"items": [MODEL]})
            case ["GET", "admin", "doctor"]:
                answer = httpx2.Response(200, json=self.doctor)
            case _:
                answer = refused(404, "not_found", "There is nothing here.", "See /openapi.json.")
        return answer

    def _admitted(self, header: str) -> bool:
        return header == f"Bearer {TOKEN}"

    def add(self, **changes: Any) -> Job:
        number = len(self.jobs)
        job: Job = {
            "id": f"job_{number:026d}",
            "status": "awaiting_upload",
            "created_at": f"2026-01-01T00:00:{number:02d}Z",
            "options": {"requested": {}, "effective": {"scale": 4}, "origin": {"scale": "default"}},
            "outputs": [],
            "error": None,
            "tomorrow": {"new": "field"},
        }
        key = f"jobs/{job['id']}/a.jpg"
        job["source"] = {"bucket": "uploads", "key": key, "bytes": None, "width": None, "height": None, "format": None}
        job |= changes
        self.jobs[job["id"]] = job
        return job

    def _announce(self, body: dict[str, Any]) -> httpx2.Response:
        known = {"filename", "size_bytes", "options", "webhook", "metadata", "ephemeral"}
        if unknown := body.keys() - known:
            return refused(422, "request_invalid", f"Unknown field {unknown}", "Leave it out.")
        if body.get("options", {}).get("scale", 4) > 16:
            errors = [{"pointer": "/options/scale", "detail": "at most 16"}]
            return refused(422, "options_invalid", "The options are wrong.", "Use 1 to 16.", errors=errors)
        job = self.add(announced=body, metadata=body.get("metadata", {}))
        put = {"url": f"{STORE}/uploads/{job['id']}?signed", "headers": self.put_headers}
        return httpx2.Response(201, json={"job": job, "form": {"url": STORE, "fields": {}}, "put": put})

    def _submit(self, request: httpx2.Request) -> httpx2.Response:
        job = self.add(status="queued")
        self.uploads[job["id"]] = request.content
        return httpx2.Response(202, json=job, headers={"location": f"/v1/jobs/{job['id']}", "retry-after": "1"})

    def _page(self, params: httpx2.QueryParams) -> httpx2.Response:
        wanted = [job for job in reversed(self.jobs.values()) if params.get("status", job["status"]) == job["status"]]
        start = int(params.get("cursor", 0))
        end = start + self.page
        cursor = str(end) if end < len(wanted) else None
        return httpx2.Response(200, json={"items": wanted[start:end], "next_cursor": cursor})

    def _look(self, job_id: str) -> httpx2.Response:
        job = self.jobs.get(job_id)
        if job is None:
            return refused(404, "job_not_found", "There is no such job.", "List your jobs.")
        seen = dict(job)
        steps = self.path_of_job
        if job["status"] in steps[:-1] and job_id in self.uploads:
            self._move(job, steps[steps.index(job["status"]) + 1])
        return httpx2.Response(200, json=seen)

    def _move(self, job: Job, status: str) -> None:
        job["status"] = status
        job["progress"] = {"percent": 40.0, "stage": "device", "tiles_done": 2, "tiles_total": 5}
        if status == "failed":
            job["error"] = self.failure
        if status == "succeeded":
            body = enlarged(self.uploads[job["id"]])
            main = {"role": "main", "bucket": "outputs", "key": job["source"]["key"], "format": "jpeg"}
            sizes = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "width": 8, "height": 8}
            job["outputs"] = [main | sizes, *(main | sizes | output for output in self.further)]
            job["notes"] = self.notes

    def _act(self, job: Job, action: str) -> httpx2.Response:
        becomes = {"cancel": "canceled", "retry": "queued"}
        if action in becomes and job["status"] != "succeeded":
            job["status"] = becomes[action]
            return httpx2.Response(202, json=job)
        if action == "links" and job["status"] == "succeeded":
            link = {"url": f"{API}/v1/links/{job['id']}", "expires_at": "2026-01-02T00:00:00Z"}
            return httpx2.Response(201, json=link)
        if action == "events" and self.streams:
            return self.streams.pop(0)
        if action == "metrics":
            metrics = {"job_id": job["id"], "engine": "openvino", "precision": "f32", "stages_seconds": {"device": 1.9}}
            return httpx2.Response(200, json=metrics)
        if action == "result" and job["status"] == "succeeded":
            return httpx2.Response(302, headers={"location": f"{STORE}/outputs/{job['id']}?signed"})
        return refused(409, "job_not_finished", f"The job is {job['status']}.", "Wait for it.")

    def _store(self, request: httpx2.Request) -> httpx2.Response:
        bucket, job_id = request.url.path.strip("/").split("/")
        if "authorization" in request.headers:
            return httpx2.Response(400, text="<Error><Code>InvalidArgument</Code></Error>")
        if request.method == "GET":
            return httpx2.Response(200, content=enlarged(self.uploads[job_id]))
        declared = self.jobs[job_id]["announced"]["size_bytes"]
        sent = request.headers.get("content-length")
        signed = all(request.headers.get(name) == value for name, value in self.put_headers.items())
        if not signed or bucket != "uploads" or sent != str(declared) or len(request.content) != declared:
            return denied(request)
        self.uploads[job_id] = request.content
        self.jobs[job_id]["status"] = self.path_of_job[0]
        return httpx2.Response(200)


class Asynchronous(httpx2.AsyncBaseTransport):
    """The same answers for an asynchronous client, and none to a request whose body would hold up its event loop."""

    def __init__(self, service: Callable[[httpx2.Request], httpx2.Response]) -> None:
        self._service = service

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        await request.aread()
        await anyio.lowlevel.checkpoint()  # as a network would, it lets other tasks go on
        answer = self._service(request)
        if not isinstance(answer.stream, httpx2.AsyncByteStream):
            assert isinstance(answer.stream, httpx2.SyncByteStream)
            answer.stream = Trickle(iter(answer.stream))
        return answer


class Trickle(httpx2.AsyncByteStream):
    """Pieces of a body, one after another."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await anyio.lowlevel.checkpoint()
            yield piece


MODEL = {
    "name": "realesrgan-x4plus",
    "scales": [4],
    "architecture": "rrdbnet",
    "licence": "BSD-3-Clause",
    "source": "https://models.test/x4plus",
    "available": True,
}


def enlarged(upload: bytes) -> bytes:
    return b"big:" + upload


def refused(status: int, code: str, detail: str, hint: str, **more: Any) -> httpx2.Response:
    body = {"type": f"/problems/{code}", "title": code, "status": status, "code": code, "detail": detail, "hint": hint}
    return httpx2.Response(status, json=body | more, headers={"content-type": "application/problem+json"})


def streamed(*events: str, cut_after: bool = False) -> httpx2.Response:
    """A live stream of server-sent events, which ends or breaks."""

    def chunks() -> Iterator[bytes]:
        yield from (event.encode() + b"\r\n\r\n" for event in events)
        if cut_after:
            raise httpx2.ReadError("connection reset")

    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=chunks())


def busy(seconds: str | None = None, status: int = 429) -> Fault:
    headers = {} if seconds is None else {"retry-after": seconds}
    return lambda _: httpx2.Response(status, json={"code": "rate_limited", "detail": "Too many."}, headers=headers)


def denied(_: httpx2.Request) -> httpx2.Response:
    text = "<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    return httpx2.Response(403, text=text)


def cut(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadError("connection reset")


def away(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("connection refused")
