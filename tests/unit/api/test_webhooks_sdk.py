"""The SDK's and the command's webhook calls against the application itself."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from enlarger import Client, Clock, EnlargerError
from enlarger.command.app import app
from enlarger.command.session import Session
from pipeline.endpoints import judge
from pipeline.ports.deliveries import Attempt, DeliveryStatus
from tests.unit.api.conftest import NOW, TOKENS, World, later
from tests.unit.api.hooks import URL, deliveries, endpoints, send

Run = Callable[..., Result]


class Notifier:
    """Stands in for the notifier: while somebody waits, what is due is posted to a receiver that answers so."""

    def __init__(self, world: World) -> None:
        self.world, self.seconds, self.answer = world, 0.0, 204

    def clock(self) -> Clock:
        return Clock(now=lambda: self.seconds, sleep=self.sleep, chance=lambda: 0.0)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        stored = deliveries(self.world).stored
        for due in [one for one in stored.values() if one.status == "pending" and self.answer]:
            status: DeliveryStatus = "delivered" if self.answer == 204 else "failed"
            attempt = Attempt(NOW, 0.1, self.answer, trigger=due.trigger, url=URL)
            stored[due.id] = replace(due, status=status, attempts=(attempt,), next_attempt_at=None)


@pytest.fixture
def notifier(world: World) -> Notifier:
    return Notifier(world)


@pytest.fixture
def client(world: World, notifier: Notifier) -> Client:
    return connect(world, notifier)


def connect(world: World, notifier: Notifier) -> Client:
    return Client("http://api.test", TOKENS["alice"], transport=world.alice._transport, clock=notifier.clock())


@pytest.fixture
def run(world: World, notifier: Notifier) -> Run:
    environ = {"ENLARGER_URL": "http://api.test", "ENLARGER_TOKEN": "t"}
    session = Session(environ, Path(), lambda _url, _token: connect(world, notifier))
    return lambda *args: CliRunner().invoke(app, ["webhooks", *args], obj=session, catch_exceptions=False)


def test_endpoint_lives_its_life(client: Client) -> None:
    made = client.add_webhook(URL, events=["job.failed"], description="mine")
    assert made.secret is not None
    assert (made.url, made.events, made.description, made.status) == (URL, ("job.failed",), "mine", "active")
    assert client.webhook(made.id).secret is None
    changed = client.change_webhook(made.id, events=["job.started"], status="paused")
    assert (changed.url, changed.events, changed.status) == (URL, ("job.started",), "paused")
    rotated = client.rotate_webhook(made.id, keep_seconds=60)
    assert rotated.secret not in (None, made.secret)
    assert [webhook.secrets for webhook in client.webhooks()] == [2]
    client.delete_webhook(made.id)
    assert client.webhooks() == ()
    with pytest.raises(EnlargerError) as caught:
        client.webhook(made.id)
    assert caught.value.code == "webhook_not_found"


def test_ping_tells_what_came_of_it(client: Client, notifier: Notifier) -> None:
    made = client.add_webhook(URL)
    assert client.ping_webhook(made.id).attempts[0].status_code == 204
    notifier.answer = 500
    assert client.ping_webhook(made.id).status == "failed"


def test_ping_that_nobody_sends_is_returned_as_it_stands(client: Client, notifier: Notifier) -> None:
    notifier.answer = 0
    assert client.ping_webhook(client.add_webhook(URL).id, timeout_seconds=5).status == "pending"
    assert notifier.seconds == pytest.approx(5)


def test_log_is_read_page_after_page_and_sent_again(world: World, client: Client) -> None:
    made = client.add_webhook(URL)
    sent = [send(world, made.id, number) for number in range(60)]
    world.now = later(seconds=60)
    assert [one.id for one in client.deliveries(made.id)] == [one.id for one in reversed(sent)]
    assert list(client.deliveries(made.id, status="delivered")) == []
    assert client.replay_delivery(made.id, sent[0].id).status == "pending"
    assert client.replay_deliveries(made.id, later(seconds=50)) == 10
    assert client.replay_deliveries(made.id, NOW, later(seconds=50)) == 49


def test_command_adds_lists_and_removes(run: Run) -> None:
    added = run("add", URL, "--event", "job.failed", "--event", "job.started")
    assert added.exit_code == 0
    assert "secret: whsec_" in added.stdout
    listed = run("ls")
    assert "job.failed, job.started" in listed.stdout
    assert "whsec_" not in listed.stdout
    (webhook,) = json.loads(run("ls", "--json").stdout)["items"]
    assert json.loads(run("rm", webhook["id"], "--json").stdout) == {"deleted": webhook["id"]}
    assert json.loads(run("ls", "--json").stdout) == {"items": []}


def test_command_tells_why_an_endpoint_is_disabled_and_switches_it_on(world: World, run: Run) -> None:
    id_ = json.loads(run("add", URL, "--json").stdout)["id"]
    endpoints(world).stored[id_] = judge(endpoints(world).stored[id_], 410, NOW)
    assert "disabled  gone" in run("ls").stdout
    assert json.loads(run("resume", id_, "--json").stdout)["status"] == "active"
    assert json.loads(run("pause", id_, "--json").stdout)["status"] == "paused"
    assert json.loads(run("rotate", id_, "--keep", "0", "--json").stdout)["secrets"] == 1


def test_command_pings_and_exits_by_the_answer(run: Run, notifier: Notifier) -> None:
    id_ = json.loads(run("add", URL, "--json").stdout)["id"]
    assert run("ping", id_).exit_code == 0
    notifier.answer = 410
    refused = run("ping", id_)
    assert refused.exit_code == 1
    assert "410" in refused.stdout
    log = json.loads(run("deliveries", id_, "--status", "failed", "--json").stdout)["items"]
    assert [delivery["type"] for delivery in log] == ["webhook.test"]


@pytest.mark.parametrize(
    ("args", "replayed"),
    [
        (["--since", "2026-11-01T12:00:01"], 2),
        (["--since", "2026-11-01T12:00:00Z", "--until", "2026-11-01T12:00:01Z"], 1),
    ],
)
def test_command_replays_a_range(world: World, run: Run, args: list[str], replayed: int) -> None:
    id_ = json.loads(run("add", URL, "--json").stdout)["id"]
    for number in range(3):
        send(world, id_, number)
    world.now = later(seconds=9)
    assert json.loads(run("replay", id_, *args, "--json").stdout) == {"replayed": replayed}


def test_command_replays_what_is_named(world: World, run: Run) -> None:
    id_ = json.loads(run("add", URL, "--json").stdout)["id"]
    sent = send(world, id_)
    assert "1 sent again" in run("replay", id_, sent.id).stdout
    assert deliveries(world).stored[sent.id].status == "pending"


@pytest.mark.parametrize("args", [[], ["dlv_1", "--since", "2026-11-01T12:00:00Z"], ["--since", "yesterday"]])
def test_replay_of_nothing_in_particular_is_a_mistake(run: Run, args: list[str]) -> None:
    assert run("replay", "whe_1", *args).exit_code == 2


def test_unknown_endpoint_is_told_on_stderr(run: Run) -> None:
    answer: Any = run("ping", "whe_none")
    assert answer.exit_code == 1
    assert "webhook_not_found" in answer.stderr
