"""What `benchmarks.status` polls: `python -m benchmarks.status_app KIND` prints its port and serves until it is killed.

`bare` answers the job that stdin gives from one Starlette route; `find` reads it with `find_one` behind the same route.
`memory` and `documents` are the whole application, on stores in memory and on the document server; with `-counted` each
call counts against a limit.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from datetime import datetime
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.__main__ import listen
from api.accounts.accounts import Rules
from api.app import create_app
from api.services import wire
from pipeline.adapters import memory, mongo
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_credentials import MemoryCredentials
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.adapters.minio_presign import MinioPresigner
from pipeline.adapters.minio_store import Endpoint
from pipeline.clock import now
from pipeline.egress import Egress
from pipeline.identity import fingerprint
from pipeline.job import Job
from pipeline.ports.documents import Documents, Token

#: More calls in a minute than anybody makes: they are counted, and none is refused.
CALLS: Final = 10**9
Told = dict[str, Any]
Read = Callable[[str], Coroutine[Any, Any, dict[str, Any]]]


class Answer(JSONResponse):
    """JSON with moments, which only documents hold."""

    def render(self, content: Any) -> bytes:  # noqa: D102
        return json.dumps(content, separators=(",", ":"), default=datetime.isoformat).encode()


def bare(read: Read) -> Starlette:
    """One route and nothing else."""

    async def answer(request: Request) -> JSONResponse:
        return Answer(await read(request.path_params["job_id"]))

    return Starlette(routes=[Route("/v1/jobs/{job_id}", answer)])


async def whole(documents: Documents, *, counted: bool) -> Starlette:
    """Everything, on *documents*; where calls are *counted* none is one too many."""
    services = await wire(
        documents,
        MemoryObjects(),
        MinioPresigner(Endpoint.parse("http://key:secret@127.0.0.1:9000")),
        MemoryBus(),
        credentials=MemoryCredentials(),
        egress=Egress(),
        clock=now,
        public_url="http://127.0.0.1:8000",
        max_upload_bytes=10**8,
        rules=Rules("k" * 40),
        quotas={"status": CALLS} if counted else {},
        max_pixels=50_000_000,
    )
    return create_app(lambda: nullcontext(services))


async def filled(told: Told) -> Documents:
    """Stores in memory that know the jobs and the token."""
    documents = memory.documents()
    for job in told["jobs"]:
        await documents.jobs.insert(Job.model_validate(job))
    accounts = documents.accounts
    assert isinstance(accounts, memory.MemoryAccounts)  # noqa: S101 - a benchmark
    accounts.tokens[fingerprint(told["token"])] = Token("default", "admin")
    return documents


async def application(kind: str, told: Told) -> Starlette:
    """What *kind* names."""
    if kind == "bare":
        return bare(lambda _job_id: _same(told["shown"]))
    name, _, counting = kind.partition("-")
    if name == "memory":
        return await whole(await filled(told), counted=bool(counting))
    client = mongo.connect(told["mongo"])
    db = mongo.database(client, told["mongo"])
    if name == "documents":
        return await whole(mongo.documents(db), counted=bool(counting))
    return bare(lambda job_id: _found(db, job_id))


async def _same(shown: dict[str, Any]) -> dict[str, Any]:
    return shown


async def _found(db: mongo.Database, job_id: str) -> dict[str, Any]:
    return await db["jobs"].find_one({"_id": job_id}) or {}


async def serve(kind: str) -> None:
    """As the service serves: see `api.__main__`."""
    app = await application(kind, json.loads(sys.stdin.readline()))
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, server_header=False, proxy_headers=False)
    listening = listen(config)
    print(listening.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
