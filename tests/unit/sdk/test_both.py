"""What holds of the two clients together; that each does what the other does, the rest of this folder claims."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO, Self, assert_type

import anyio.lowlevel
import httpx2
import pytest

from enlarger import AsyncClient, Client, Clock, Job
from enlarger.concurrent import Concurrent
from enlarger.driving import finish
from enlarger.network import MOST_CONNECTIONS
from tests.unit.fake_service import TOKEN, FakeService, enlarged, streamed
from tests.unit.sdk.conftest import BODY

pytestmark = pytest.mark.anyio


def methods(kind: type[object]) -> dict[str, Callable[..., Any]]:
    return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}


def test_both_have_the_same_methods_with_the_same_parameters_and_words() -> None:
    plain, awaited = methods(Client), methods(AsyncClient)
    assert plain.keys() == awaited.keys(), "see enlarger/calls.py for how a call is written once for both"
    assert len(plain) > 40
    for name, method in plain.items():
        assert inspect.signature(method).parameters == inspect.signature(awaited[name]).parameters, name
        assert method.__doc__ == awaited[name].__doc__, name
        assert not inspect.iscoroutinefunction(method), name
        lists = "Iterator" in str(inspect.signature(awaited[name]).return_annotation)
        assert inspect.iscoroutinefunction(awaited[name]) is not lists, name


def test_both_are_made_of_the_same_things() -> None:
    assert list(inspect.signature(Client).parameters) == list(inspect.signature(AsyncClient).parameters)


async def test_the_type_checker_knows_what_each_returns(service: FakeService) -> None:
    service.add()
    with service.client() as plain:
        (job,) = plain.jobs()
        assert_type(job, Job)
        assert_type(plain.job(job.id), Job)
    async with service.async_client() as client:
        assert_type(await client.job(job.id), Job)
        assert [assert_type(one, Job).id async for one in client.jobs()] == [job.id]


async def test_many_tasks_share_one_client(service: FakeService, photo: Path, tmp_path: Path) -> None:
    async def enlarge(client: AsyncClient, to: Path) -> bytes:
        job = await client.wait((await client.upload(photo)).id)
        return (await client.result(job.id, to)).read_bytes()

    async with service.async_client() as client:
        results = await asyncio.gather(*(enlarge(client, tmp_path / f"{number}.jpg") for number in range(20)))
    assert results == [enlarged(BODY)] * 20
    paths = [request.url.path for request in service.requests]
    assert paths[:20] == ["/v1/uploads"] * 20  # they were under way together


class Watched:
    """A file that remembers in which threads it was used."""

    def __init__(self, file: BinaryIO, threads: set[int]) -> None:
        self._file, self._threads = file, threads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int) -> bytes:
        self._threads.add(threading.get_ident())
        return self._file.read(size)

    def write(self, piece: bytes) -> int:
        self._threads.add(threading.get_ident())
        return self._file.write(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


async def test_no_file_is_touched_on_the_event_loop(
    service: FakeService, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    opened: Any = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: Watched(opened(path, mode), threads))
    async with service.async_client() as client:
        await client.submit(photo)
        job = await client.wait((await client.upload(photo)).id)
        await client.result(job.id, tmp_path / "b.jpg")
    assert threads
    assert threading.get_ident() not in threads


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_whoever_is_cancelled_in_a_download_leaves_nothing_behind(
    service: FakeService, photo: Path, tmp_path: Path
) -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield enlarged(BODY)[: 300 * 1024]
            begun.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with service.async_client() as client:
        job = await client.wait((await client.upload(photo)).id)
        service.once("GET", "/outputs/", lambda _: httpx2.Response(200, content=endless()))
        download = asyncio.create_task(client.result(job.id, tmp_path / "b.jpg"))
        await begun.wait()
        assert any(name.endswith(".part") for name in names(tmp_path))
        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download
        assert names(tmp_path) == [photo.name]
        await closed.wait()
        assert (await client.result(job.id, tmp_path / "b.jpg")).read_bytes() == enlarged(BODY)


async def test_a_file_that_a_thread_still_reads_is_not_left_under_it() -> None:
    network = Concurrent("http://api.test", transport=None, clock=Clock(), timeout_seconds=1)
    begun, go_on, read = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def slowly() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(5)
        read.append("all")

    reader = asyncio.create_task(network.apart(slowly))
    await begun.wait()
    reader.cancel()
    loop.call_later(0, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert read == ["all"]
    await network.close()


async def test_whoever_is_cancelled_while_waiting_stops_at_once(service: FakeService) -> None:
    job, begun = service.add(status="queued"), asyncio.Event()

    async def silence() -> AsyncIterator[bytes]:
        begun.set()
        await asyncio.Event().wait()
        yield b""

    headers = {"content-type": "text/event-stream"}
    service.streams = [httpx2.Response(200, headers=headers, content=silence())]
    async with service.async_client() as client:
        wait = asyncio.create_task(client.wait(job["id"]))
        await begun.wait()
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
    assert [request.url.path.rpartition("/")[2] for request in service.requests] == ["events"]


async def test_the_plain_client_works_beside_a_running_event_loop(service: FakeService) -> None:
    job = service.add(status="queued", rev=1)
    done = Job.model_validate(job | {"status": "succeeded"}).model_dump_json()
    service.streams = [streamed(f"event: job.changed\r\ndata: {done}", ": ping")]
    with service.client() as client:
        assert client.wait(job["id"]).status == "succeeded"


async def test_connections_are_bounded_and_calls_take_turns() -> None:
    open_now, most = 0, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now, most = open_now + 1, max(most, open_now + 1)
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            body = b'{"items": []}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        open_now -= 1
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, AsyncClient(f"http://127.0.0.1:{port}", TOKEN) as client:
        await asyncio.gather(*(client.models() for _ in range(4 * MOST_CONNECTIONS)))
    assert 1 < most <= MOST_CONNECTIONS


def test_a_call_that_needs_an_event_loop_is_told_from_one_that_ends() -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        finish(anyio.lowlevel.checkpoint())
