"""A client, a photograph, and a service in memory that behaves as promised and fails where told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from enlarger import Client
from enlarger.concurrent import Concurrent
from enlarger.network import Blocking
from tests.unit.fake_service import API, TOKEN, Asynchronous, FakeService, FakeTime
from tests.unit.sdk.awaited import Awaited

BODY = b"picture" * 100_000  # more than two chunks


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture(params=["Client", "AsyncClient"])
def client(request: pytest.FixtureRequest, service: FakeService, time: FakeTime) -> Iterator[Client]:
    """Each of both in turn: whatever a test claims of one holds for the other."""
    if request.param == "Client":
        with service.client(time) as client:
            yield client
    else:
        with Awaited(service.async_client(time)) as awaited:
            yield cast("Client", awaited)


@pytest.fixture
def wired(service: FakeService, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    """The service that the environment names, for programs that make their own clients."""
    monkeypatch.setenv("ENLARGER_URL", API)
    monkeypatch.setenv("ENLARGER_TOKEN", TOKEN)
    wire(monkeypatch, service, time)
    return service


def wire(monkeypatch: pytest.MonkeyPatch, service: FakeService, time: FakeTime) -> None:
    """Let every client that is made reach *service*, whatever it was given, and no network."""

    def blocking(url: str, **given: Any) -> Blocking:
        return Blocking(url, **given | {"transport": service.transport, "clock": time.clock()})

    def concurrent(url: str, **given: Any) -> Concurrent:
        return Concurrent(url, **given | {"transport": Asynchronous(service), "clock": time.clock()})

    monkeypatch.setattr("enlarger.client.Blocking", blocking)
    monkeypatch.setattr("enlarger.concurrent.Concurrent", concurrent)
