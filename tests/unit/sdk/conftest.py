"""A client, a photograph, and a service in memory that behaves as promised and fails where told."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from enlarger import Client
from tests.unit.fake_service import FakeService, FakeTime
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
