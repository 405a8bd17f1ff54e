"""The SDK's and the command's calls for batches against the application itself."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from enlarger import Batch, Client, Clock, EnlargerError
from enlarger.command.app import app
from enlarger.command.session import Session
from pipeline.identity import job_in
from pipeline.job import Status
from tests.unit.api.conftest import TOKENS, World
from tests.unit.api.test_archives import PNG, packed
from tests.unit.api.test_batch_ways import upload
from tests.unit.api.test_batches import KEYS, move

Run = Callable[..., Result]


class Worker:
    """Stands in for the rest of the service: while somebody waits, one job after the other succeeds."""

    def __init__(self, world: World) -> None:
        self.world, self.seconds, self.ends = world, 0.0, Status.SUCCEEDED

    def clock(self) -> Clock:
        return Clock(now=lambda: self.seconds, sleep=self.sleep, chance=lambda: 0.0)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        waiting = [job for job in self.world.jobs.jobs.values() if not job.terminal]
        for job in waiting[:1]:
            self.world.jobs.jobs[job.id] = job.model_copy(update={"status": self.ends})


@pytest.fixture
def worker(world: World) -> Worker:
    return Worker(world)


@pytest.fixture
def client(world: World, worker: Worker) -> Client:
    upload(world, *KEYS)
    return connect(world, worker)


def connect(world: World, worker: Worker) -> Client:
    return Client("http://api.test", TOKENS["alice"], transport=world.alice._transport, clock=worker.clock())


@pytest.fixture
def run(world: World, worker: Worker) -> Iterator[Run]:
    """One command line; what the service logs meanwhile does not stand among its words."""
    upload(world, *KEYS)
    environ = {"ENLARGER_URL": "http://api.test", "ENLARGER_TOKEN": "t"}
    session = Session(environ, Path(), lambda _url, _token: connect(world, worker))
    with capture_logs():
        yield lambda *args: CliRunner().invoke(app, ["batches", *args], obj=session, catch_exceptions=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "trip.zip"
    path.write_bytes(packed(("a.png", PNG), ("notes.txt", b"text")).getvalue())
    return path


def test_a_batch_of_keys_is_made_waited_for_and_told(client: Client) -> None:
    made = client.make_batch(keys=KEYS, options={"scale": 2}, metadata={"album": "trip"})
    assert (made.status, made.total, dict(made.metadata)) == ("processing", 3, {"album": "trip"})
    seen: list[Batch] = []
    ended = client.wait_batch(made.id, on_progress=seen.append)
    assert (ended.succeeded, dict(ended.counts)) == (True, {"succeeded": 3})
    assert [batch.counts.get("succeeded", 0) for batch in seen] == [0, 1, 2, 3]
    assert [(line.key, line.status) for line in client.batch_manifest(made.id)] == [(key, "succeeded") for key in KEYS]
    assert [batch.id for batch in client.batches()] == [made.id]
    assert client.batch(made.id) == ended


def test_a_batch_of_a_folder_and_one_of_an_archive(client: Client, archive: Path) -> None:
    assert client.make_batch(prefix="~alice/trip/").total == 1
    made = client.make_batch(archive=archive, options={"scale": 2}, metadata={"album": "trip"})
    assert (made.total, made.refused, dict(made.metadata)) == (1, 1, {"album": "trip"})
    taken, refused = client.batch_manifest(made.id)
    assert (taken.status, refused.job_id) == ("awaiting_upload", None)
    assert refused.error is not None
    assert refused.error.code == "format_unsupported"
    assert not client.wait_batch(made.id).succeeded


def test_addresses_that_cannot_be_fetched_have_failed(client: Client) -> None:
    made = client.make_batch(urls=["http://10.0.0.1/a.png"])
    assert (made.completed, dict(made.counts)) == (True, {"failed": 1})


def test_a_batch_is_canceled(client: Client) -> None:
    made = client.make_batch(keys=KEYS)
    assert dict(client.cancel_batch(made.id).counts) == {"canceled": 3}


def test_the_same_key_makes_one_batch(client: Client) -> None:
    first, again = (client.make_batch(keys=KEYS, idempotency_key="mine") for _ in range(2))
    assert first.id == again.id


@pytest.mark.parametrize("ways", [{}, {"keys": ["a"], "prefix": "a/"}])
def test_one_way_must_be_named(client: Client, ways: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give one of"):
        client.make_batch(**ways)


def test_waiting_ends_when_time_is_up_and_the_batch_goes_on(client: Client, worker: Worker) -> None:
    made, worker.ends = client.make_batch(keys=KEYS), Status.QUEUED
    with pytest.raises(EnlargerError) as caught:
        client.wait_batch(made.id, timeout_seconds=5)
    assert (caught.value.code, worker.seconds) == ("wait_timeout", 5)


def test_a_batch_that_is_not_there_is_an_error_with_its_code(client: Client) -> None:
    for ask in (client.batch, client.batch_manifest, client.cancel_batch, client.wait_batch):
        with pytest.raises(EnlargerError) as caught:
            ask("batch_none/..")
        assert caught.value.code in ("batch_not_found", "not_found")


def test_a_manifest_that_no_enlarger_wrote_is_an_error(worker: Worker) -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, text="<html>")

    client = Client("http://api.test", "t", transport=httpx2.MockTransport(answer), clock=worker.clock())
    with pytest.raises(EnlargerError) as caught:
        client.batch_manifest("batch_1")
    assert caught.value.code == "answer_invalid"


def test_command_makes_waits_and_tells(run: Run) -> None:
    made = json.loads(run("make", *KEYS, "--scale", "2", "--format", "jpg", "--json").stdout)
    assert (made["total"], made["status"]) == (3, "processing")
    assert run("wait", made["id"]).exit_code == 0
    told = json.loads(run("show", made["id"], "--json").stdout)
    assert told["counts"] == {"succeeded": 3}
    assert [item["id"] for item in json.loads(run("ls", "--json").stdout)["items"]] == [made["id"]]
    assert made["id"] in run("ls").stdout
    assert "3 succeeded" in run("show", made["id"]).stdout


def test_command_takes_a_folder_an_archive_or_addresses(run: Run, archive: Path, world: World) -> None:
    assert json.loads(run("make", "--prefix", "~alice/trip/", "--json").stdout)["total"] == 1
    made = json.loads(run("make", "--zip", str(archive), "--json").stdout)
    assert (made["total"], made["refused"]) == (1, 1)
    assert world.jobs.jobs[job_in(made["id"], 0)].options.requested == {"scale": 4}
    lines = json.loads(run("manifest", made["id"], "--json").stdout)["items"]
    assert [line["key"] for line in lines] == ["a.png", "notes.txt"]
    assert "refused" in run("manifest", made["id"]).stdout
    assert json.loads(run("make", "--url", "http://10.0.0.1/a.png", "--json").stdout)["counts"] == {"failed": 1}


def test_command_says_by_its_exit_code_that_some_have_failed(run: Run, world: World) -> None:
    made = json.loads(run("make", *KEYS, "--json").stdout)["id"]
    move(world, made, Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED)
    ended = run("wait", made, "--json")
    assert (ended.exit_code, json.loads(ended.stdout)["counts"]) == (1, {"succeeded": 2, "failed": 1})


def test_command_cancels(run: Run) -> None:
    made = json.loads(run("make", *KEYS, "--json").stdout)["id"]
    assert "3 canceled" in run("cancel", made).stdout


@pytest.mark.parametrize("args", [(), ("a.png", "--prefix", "a/"), ("--zip", "none.zip")])
def test_command_that_makes_no_sense_is_a_usage_error(run: Run, args: tuple[str, ...]) -> None:
    assert run("make", *args).exit_code == 2
