"""Live streams of a running Enlarger: on every replica, through restarts, and to the end."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

import httpx2
import pytest

from enlarger import Client
from infra.ports import free_port
from tests.deployment import Deployment
from tests.e2e.test_ways_in import BODY, announced
from tests.servers import Service
from tests.waiting import eventually

SECONDS = 30.0
#: Far less than it takes to finish what is in flight: streams are ended, not waited for.
DRAIN_SECONDS = 10.0

Told = tuple[str, str | None, str]


@dataclass(frozen=True, slots=True)
class Replica:
    """One API process."""

    url: str
    token: str
    service: Service

    def ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health/ready").status_code == 200
        except httpx2.TransportError:
            return False


@pytest.fixture
def replicas(enlarger: Deployment) -> Iterator[tuple[Replica, Replica]]:
    port, token = free_port(), enlarger.servers.token
    settings = {**enlarger.settings, "ENLARGER_API_PORT": str(port)}
    with enlarger.servers.service("api", settings, alias="second api") as service:
        second = Replica(f"http://127.0.0.1:{port}", token, service)
        eventually(second.ready, what="the second replica answers")
        yield Replica(enlarger.servers.api_url, token, enlarger.services["api"]), second


@dataclass
class Following:
    """A stream that is read on a thread of its own."""

    told: Queue[Told] = field(default_factory=Queue)
    ended: Future[None] = field(default_factory=Future)

    def next(self) -> Told:
        """The next message that is not progress."""
        while True:
            told = self.told.get(timeout=SECONDS)
            if told[0] != "job.progressed":
                return told

    def read(self, replica: Replica, job_id: str, last: str | None) -> None:
        headers = {"authorization": f"Bearer {replica.token}"} | ({"last-event-id": last} if last else {})
        try:
            with httpx2.stream(
                "GET", f"{replica.url}/v1/jobs/{job_id}/events", headers=headers, timeout=SECONDS
            ) as got:
                for event in httpx2.EventSource(got.raise_for_status()):
                    if event.data:
                        self.told.put((event.event, event.id, json.loads(event.data).get("status", "")))
        except httpx2.TransportError:
            pass  # cut, as a restart may do
        self.ended.set_result(None)


Follow = Callable[..., Following]


@contextmanager
def follower() -> Iterator[Follow]:
    with ThreadPoolExecutor(8) as pool:

        def follow(replica: Replica, job_id: str, last: str | None = None) -> Following:
            following = Following()
            pool.submit(following.read, replica, job_id, last)
            return following

        yield follow


def send(body: dict[str, Any]) -> None:
    httpx2.put(body["put"]["url"], headers=body["put"]["headers"], content=BODY).raise_for_status()


def to_the_end(following: Following) -> list[Told]:
    told = [following.next()]
    while told[-1][0] != "end":
        told.append(following.next())
    return told


def test_a_job_is_followed_to_its_end_on_every_replica(enlarger: Deployment, replicas: tuple[Replica, Replica]) -> None:
    body = announced(enlarger)
    with follower() as follow:
        streams = [follow(replica, body["job"]["id"]) for replica in replicas * 2]
        assert [stream.next() for stream in streams] == [("job.changed", "1", "awaiting_upload")] * 4
        send(body)
        for stream in streams:
            *changes, _ = to_the_end(stream)
            assert changes[-1][2] == "succeeded"
            assert [int(id_ or 0) for _, id_, _ in changes] == sorted({int(id_ or 0) for _, id_, _ in changes})


def test_a_restart_cuts_streams_at_once_and_they_go_on_elsewhere(
    enlarger: Deployment, replicas: tuple[Replica, Replica]
) -> None:
    first, second = replicas
    body = announced(enlarger)
    with follower() as follow:
        cut = follow(second, body["job"]["id"])
        _, last, _ = cut.next()
        assert second.service.stop() == 0
        cut.ended.result(timeout=DRAIN_SECONDS)
        assert cut.told.empty()  # no end: the job goes on
        again = follow(first, body["job"]["id"], last)
        send(body)
        told = to_the_end(again)
        assert ("job.changed", last, "awaiting_upload") not in told
        assert told[-2][2] == "succeeded"


def test_a_wait_of_the_sdk_lives_through_a_restart(enlarger: Deployment, replicas: tuple[Replica, Replica]) -> None:
    _, second = replicas
    body = announced(enlarger)
    seen: Queue[str] = Queue()
    with Client(second.url, second.token) as client, ThreadPoolExecutor(1) as pool:
        waited = pool.submit(client.wait, body["job"]["id"], on_progress=lambda job: seen.put(job.status))
        assert seen.get(timeout=SECONDS) == "awaiting_upload"
        second.service.restart()
        send(body)
        assert waited.result(timeout=SECONDS).status == "succeeded"
