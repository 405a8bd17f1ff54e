"""A bus that says nothing but keeps its connections: uploads take five seconds each, and none of them is lost."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.deployment import Deployment
from tests.pictures import encoded, photograph
from tests.servers import Servers

UPLOADS = 6
#: How long MinIO waits for the bus to confirm an event (nats.go, JetStream publish).
WAITED_SECONDS = 5.0
SMALL = encoded(photograph(16, 12), "PNG")


@contextmanager
def frozen(servers: Servers, name: str) -> Iterator[None]:
    servers.freeze(name)
    try:
        yield
    finally:
        servers.thaw(name)


@pytest.mark.timeout(120)
def test_uploads_to_a_frozen_bus_take_five_seconds_each_and_lose_nothing(enlarger: Deployment) -> None:
    keys = [f"frozen/@x2,m-lanczos/{number}.png" for number in range(UPLOADS)]

    def put(key: str) -> float:
        began = time.monotonic()
        enlarger.s3.put_object(Bucket="uploads", Key=key, Body=SMALL)
        return time.monotonic() - began

    with frozen(enlarger.servers, "nats"), ThreadPoolExecutor(UPLOADS) as pool:
        took = list(pool.map(put, keys))
    assert all(WAITED_SECONDS - 0.5 < seconds < 2 * WAITED_SECONDS for seconds in took), took
    assert [enlarger.job_of(key)["status"] for key in keys] == ["succeeded"] * UPLOADS
    assert all(enlarger.output(key) for key in keys)
