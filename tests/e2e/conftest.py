"""A second API on the running installation, with the settings that the clients of dialects need."""

from collections.abc import Iterator

import httpx2
import pytest

from infra.ports import free_port
from tests.deployment import Deployment
from tests.e2e.replaying import Curl
from tests.waiting import eventually


@pytest.fixture(scope="session")
def replayed(enlarger: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Curl]:
    """curl on an API of the tokens `token1` and `token2`, open to pages from disk and to one of another origin."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    settings = {
        "ENLARGER_API_PORT": str(port),
        "ENLARGER_PUBLIC_URL": base,
        "VALID_TOKENS": "token1,token2",
        "ENLARGER_CORS_ORIGINS": "null,https://page.test",
    }
    with enlarger.servers.service("api", enlarger.settings | settings, alias="api-of-dialects"):
        eventually(lambda: _listens(base), what=base)
        yield Curl(base, tmp_path_factory.mktemp("curl"))


def _listens(base: str) -> bool:
    try:
        return httpx2.get(f"{base}/health/ready", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False
