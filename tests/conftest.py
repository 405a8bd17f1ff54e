"""Fixtures that every layer of tests shares."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.deployment import Deployment, deployed
from tests.servers import Servers, running

settings.register_profile("shared", deadline=None)  # on a shared machine one slow example proves nothing
settings.load_profile("shared")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Real MinIO, NATS and a document server, bootstrapped, from the provider that SERVERS names."""
    with running(tmp_path_factory.mktemp("servers")) as ready:
        yield ready


@pytest.fixture(scope="session")
def enlarger(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """All four services on the session's servers. A test that stops one starts it again."""
    with deployed(servers, tmp_path_factory.mktemp("machine")) as deployment:
        yield deployment
