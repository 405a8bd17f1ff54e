"""A client, a photograph, and a service in memory that behaves as promised and fails where told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from enlarger import Client
from tests.unit.fake_service import FakeService, FakeTime

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


@pytest.fixture
def client(service: FakeService, time: FakeTime) -> Iterator[Client]:
    with service.client(time) as client:
        yield client
