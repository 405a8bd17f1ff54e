"""A service in memory whose bucket makes the jobs: whatever is put under a key becomes one."""

import hashlib
import json
from typing import Any
from urllib.parse import quote, unquote

import httpx2

from tests.unit.fake_service import STORE, FakeService, Job, denied, enlarged, refused


class FakeBucket(FakeService):
    """Signs keys, makes a job of each upload, moves jobs a step with each look at the list, and hands out results.

    A key with `bad` in it is refused; an upload of `b"no picture"` fails.
    """

    def __init__(self) -> None:
        super().__init__()
        self.page = 3
        self.steps: tuple[str, ...] = ("queued", "processing", "succeeded")
        self.signed: dict[str, int] = {}
        self.objects: dict[str, bytes] = {}
        self.blind = False  # an upload makes no job

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        match [request.method, *request.url.path.strip("/").split("/")[1:]]:
            case ["POST", "objects"]:
                return self._sign(json.loads(request.content)["objects"])
            case ["GET", "jobs"]:
                return self._list(request.url.params)
            case ["GET", "jobs", job_id, "result"]:
                return httpx2.Response(302, headers={"location": f"{STORE}/outputs/{job_id}"})
            case ["GET", "jobs", job_id] if job_id in self.jobs:
                return httpx2.Response(200, json=self.jobs[job_id])
        return super()._api(request)

    def _sign(self, objects: list[dict[str, Any]]) -> httpx2.Response:
        if any("bad" in one["key"] for one in objects):
            return refused(422, "request_invalid", "The request is not understood.", "Correct the fields.")
        self.signed |= {one["key"]: one["size_bytes"] for one in objects}
        headers = {"Content-Length": "0"}
        items = [
            {"key": one["key"], "put": {"url": f"{STORE}/uploads/{quote(one['key'])}?signed", "headers": headers}}
            for one in objects
        ]
        return httpx2.Response(201, json={"items": items, "expires_at": "2026-11-01T13:00:00Z"})

    def _list(self, params: httpx2.QueryParams) -> httpx2.Response:
        wanted = [job for job in reversed(self.jobs.values()) if job["source"]["key"].startswith(params["prefix"])]
        start = int(params.get("cursor", 0))
        page = wanted[start : start + self.page]
        body = json.loads(json.dumps(page))
        for job in page:
            self._step(job)
        more = str(start + self.page) if start + self.page < len(wanted) else None
        return httpx2.Response(200, json={"items": body, "next_cursor": more})

    def _step(self, job: Job) -> None:
        if job["status"] not in self.steps[:-1]:
            return
        body = self.objects.get(job["source"]["key"], b"")
        job["status"] = self.steps[self.steps.index(job["status"]) + 1]
        if job["status"] == "succeeded" and body == b"no picture":
            job["status"] = "failed"
            job["error"] = {"code": "format_unsupported", "detail": "It is no picture.", "hint": "Send one."}
        elif job["status"] == "succeeded":
            made = enlarged(body)
            self.uploads[job["id"]] = body
            name = job["source"]["key"] if "webp" not in job["source"]["key"] else f"{job['source']['key']}.webp"
            sizes = {"bytes": len(made), "width": 8, "height": 8, "format": "jpeg"}
            main = {"role": "main", "bucket": "outputs", "key": name, "sha256": hashlib.sha256(made).hexdigest()}
            job["outputs"] = [main | sizes, *({**main, **sizes, **one} for one in self.further)]
            job["notes"] = self.notes

    def _store(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            job_id = request.url.path.rpartition("/")[2]
            return httpx2.Response(200, content=enlarged(self.uploads[job_id]))
        key = unquote(request.url.path.removeprefix("/uploads/"))
        if self.signed.get(key) != len(request.content) or "authorization" in request.headers:
            return denied(request)
        self.objects[key] = request.content
        etag = hashlib.md5(request.content, usedforsecurity=False).hexdigest()
        if not self.blind:
            self.put(key, etag=etag, size_bytes=len(request.content))
        return httpx2.Response(200, headers={"etag": f'"{etag}"'})

    def put(self, key: str, *, etag: str, size_bytes: int, status: str = "queued") -> Job:
        """Make the job of an upload."""
        source = {"bucket": "uploads", "key": key, "etag": etag, "bytes": size_bytes}
        made = f"2026-01-01T00:{len(self.jobs) // 60:02d}:{len(self.jobs) % 60:02d}Z"
        return self.add(created_at=made, status=status, source={"width": None, "height": None, "format": None} | source)

    def sent(self) -> list[str]:
        """The keys that were put, in the order of their names."""
        puts = [one for one in self.requests if one.method == "PUT"]
        return sorted(unquote(one.url.path.removeprefix("/uploads/")) for one in puts)
