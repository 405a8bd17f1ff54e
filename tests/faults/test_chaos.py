"""Everything fails at once, at moments that a seed chooses: nothing is lost, nothing is there twice.

`make chaos SEEDS=50` runs more seeds than the suite does, `make chaos FIRST=17 SEEDS=1` one of them again.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.job import Status
from tests.faults.carrier import Carrier, carrying
from tests.faults.chaos import Chaos
from tests.faults.ledger import Ledger, read, unsettled
from tests.faults.plan import plan
from tests.faults.stage import ANSWER_SECONDS, Stage, staged
from tests.pictures import assert_same_picture, encoded, opened, photograph
from tests.receiver import Receiver, receiving
from tests.waiting import eventually

FIRST: Final = int(os.environ.get("FIRST", "1"))
SEEDS: Final = int(os.environ.get("SEEDS", "1"))
#: Announced, each with a webhook; half of them are put with the URL that the API gives, half with a client's own keys.
UPLOADS: Final = 300
#: On top of them, pictures under keys of our own, without an announcement: no webhook is known for those.
PLAIN: Final = 100
WITHIN_SECONDS: Final = 30.0
SENDERS: Final = 6
ANSWERED_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 150.0
#: A look takes from those who are looked at: it asks every server.
LOOK_SECONDS: Final = 0.5
#: What the notifier may have under way at one receiver when it is killed.
AT_ONCE: Final = 4
KILLED: Final = ("notifier", "kill")
PICTURES: Final = [photograph(16 + number, 12) for number in range(5)]
BODIES: Final = [encoded(picture, "PNG") for picture in PICTURES]
OPTIONS: Final = {"scale": 2, "model": "lanczos"}

pytestmark = pytest.mark.skipif(os.environ.get("SERVERS") == "containers", reason="MinIO is rewired as a process")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as ready:
        yield ready


@dataclass(slots=True)
class Client:
    """A client that repeats what it got no answer to, and knows what it was promised."""

    stage: Stage
    webhook: str
    #: Number of the picture by key.
    sent: dict[str, int] = field(default_factory=dict)
    announced: list[str] = field(default_factory=list)
    #: Calls that got no answer, so that nobody knows what became of them: announcements, and uploads by key.
    announcements: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)

    def send(self, number: int) -> None:
        """Announce a picture and upload it, or upload it under a key of our own."""
        body = BODIES[number % len(BODIES)]
        if number >= UPLOADS:
            key, where = f"@x2,m-lanczos/{number}.png", None
        else:
            announce = partial(self._announce, body)
            key, where = eventually(announce, seconds=ANSWERED_SECONDS, what="an answer of the API")
        put = partial(self._put_presigned, key, where, body) if where and number % 2 else partial(self._put, key, body)
        eventually(put, seconds=ANSWERED_SECONDS, what=f"an answer for {key}")
        self.sent[key] = number % len(BODIES)

    def _put(self, key: str, body: bytes) -> bool:
        try:
            self.stage.s3.put_object(Bucket="uploads", Key=key, Body=body)
        except (BotoCoreError, ClientError):
            self.unanswered[key] += 1
            return False
        return True

    def _announce(self, body: bytes) -> tuple[str, dict[str, Any]] | None:
        asked = {"filename": "a.png", "size_bytes": len(body), "webhook": self.webhook, "options": OPTIONS}
        try:
            answer = self.stage.http.post("/v1/uploads", json=asked).raise_for_status().json()
        except httpx2.HTTPError:
            self.announcements += 1
            return None
        key = answer["job"]["source"]["key"]
        self.announced.append(key)
        return key, answer["put"]

    def _put_presigned(self, key: str, where: dict[str, Any], body: bytes) -> bool:
        try:
            httpx2.put(where["url"], headers=where["headers"], content=body, timeout=ANSWER_SECONDS).raise_for_status()
        except httpx2.HTTPError:
            self.unanswered[key] += 1
            return False
        return True


@dataclass(frozen=True, slots=True)
class Run:
    """What was done, and what is written down of it now that all is quiet."""

    client: Client
    chaos: Chaos
    carrier: Carrier
    ledger: Ledger
    #: The id of each webhook that came, and when.
    heard: Sequence[tuple[str, float]]
    known: Sequence[bytes]
    quiet_seconds: float

    def told(self, seed: int) -> str:
        """One line on the run."""
        again = len(self.heard) - len({id_ for id_, _ in self.heard})
        return (
            f"\nseed {seed}: {len(self.client.sent)} uploads, {len(self.chaos.done)} faults, quiet"
            f" {self.quiet_seconds:.0f} s after the last; notices {dict(self.carrier.fates)}, {self.ledger.counters};"
            f" no answer to {self.client.announcements} announcements and {self.client.unanswered.total()} uploads;"
            f" {len(self.ledger.jobs)} jobs, {len(self.heard) - again} webhooks, {again} of them again"
        )


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_three_hundred_uploads_end_once_each_whatever_fails(
    stage: Stage, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = played(stage, seed)
    with capsys.disabled():
        print(run.told(seed), flush=True)  # noqa: T201 - fifty seeds take an hour: somebody watches
    assert_nothing_lost(run)
    assert_nothing_twice(run)
    assert_webhooks(run)
    assert len(run.chaos.done) == len(run.chaos.plan)
    assert all(run.carrier.fates[fate] for fate in ("lost", "twice", "late"))
    assert run.ledger.counters["sweep_found_total"] > 0, "both notices of some uploads were lost"


def played(stage: Stage, seed: int) -> Run:
    """Send everything while everything fails, and wait until nobody has anything left to do."""
    with receiving() as receiver, carrying(stage.servers, seed) as carrier:
        link = stage.links["notifier>receiver"] = stage.network.link(receiver.port)
        client = Client(stage, f"http://127.0.0.1:{link.port}/hook")
        chaos = Chaos(stage, plan(seed, within_seconds=WITHIN_SECONDS))
        known, carrier.bad = known_outputs(stage), True
        with chaos.running():
            send_all(client, seed)
        mended = time.monotonic()
        wait_for_quiet(stage, client.sent)
        quiet_seconds = time.monotonic() - mended
        return Run(client, chaos, carrier, read(stage.servers), [*received(receiver)], known, quiet_seconds)


def wait_for_quiet(stage: Stage, keys: Collection[str]) -> None:
    """TimeoutError, with what is left to do, after `QUIET_SECONDS`."""
    left: list[str] = []

    def quiet() -> bool:
        left[:] = unsettled(stage.servers, keys)
        return not left

    try:
        eventually(quiet, seconds=QUIET_SECONDS, what="quiet", every_seconds=LOOK_SECONDS)
    except TimeoutError as error:
        error.add_note("; ".join(left))
        raise


def known_outputs(stage: Stage) -> list[bytes]:
    """What becomes of each picture while nothing fails."""
    keys = [f"known/@x2,m-lanczos/{number}.png" for number in range(len(BODIES))]
    for key, body in zip(keys, BODIES, strict=True):
        stage.deployment.s3.put_object(Bucket="uploads", Key=key, Body=body)
    outputs = [stage.deployment.output(key) for key in keys]
    for output, picture in zip(outputs, PICTURES, strict=True):
        assert_same_picture(opened(output), picture, factor=2)
    return outputs


def send_all(client: Client, seed: int) -> None:
    """All uploads, some at once, spread over the time of the faults."""
    drawn, began, never = random.Random(f"senders of {seed}"), time.monotonic(), threading.Event()  # noqa: S311 - no secret
    moments = [drawn.uniform(0, WITHIN_SECONDS) for _ in range(UPLOADS + PLAIN)]

    def send(number: int) -> None:
        never.wait(began + moments[number] - time.monotonic())
        client.send(number)

    # two pools, so that an API that is away does not hold up those who do without it
    with ThreadPoolExecutor(SENDERS) as announcing, ThreadPoolExecutor(SENDERS) as plain:
        order = sorted(range(UPLOADS + PLAIN), key=moments.__getitem__)
        for one in [(announcing if number < UPLOADS else plain).submit(send, number) for number in order]:
            one.result()


def received(receiver: Receiver) -> Iterator[tuple[str, float]]:
    """The id of each webhook that came, and when."""
    while receiver.received.qsize():
        one = receiver.received.get()
        yield one.headers["webhook-id"], one.at_seconds


def assert_nothing_lost(run: Run) -> None:
    """Every upload that got a 200 has a job that succeeded and the output of its picture; nothing else lies about."""
    sent, s3 = run.client.sent, run.client.stage.deployment.s3
    assert len(sent) == UPLOADS + PLAIN
    newest = run.ledger.newest()
    ends = Counter((newest[key]["status"], (newest[key]["error"] or {}).get("code")) for key in sent)
    assert ends == {(Status.SUCCEEDED, None): UPLOADS + PLAIN}
    assert run.ledger.orphans(announced=run.client.announcements) == []
    assert sorted(listed(s3, "uploads")) == sorted(sent)
    bodies = {key: s3.get_object(Bucket="outputs", Key=key)["Body"].read() for key in listed(s3, "outputs")}
    assert {key for key, body in bodies.items() if key not in sent or body != run.known[sent[key]]} == set()
    assert len(bodies) == len(sent)


def listed(s3: Any, bucket: str) -> Iterator[str]:
    """Every object but those that were made while nothing failed."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from (entry["Key"] for entry in page["Contents"] if not entry["Key"].startswith("known/"))


def assert_nothing_twice(run: Run) -> None:
    """One job for each version of a key, each event once; a version too many is one that a client sent again."""
    sources = [job["source"] for job in run.ledger.jobs if job["source"]["sequencer"]]
    versions = Counter((source["key"], source["sequencer"]) for source in sources)
    assert {version: jobs for version, jobs in versions.items() if jobs > 1} == {}
    again = Counter(key for key, _ in versions if key in run.client.sent) - Counter(run.client.sent.keys())
    assert again <= run.client.unanswered
    times = Counter(event.id for event in run.ledger.events)
    assert {event: count for event, count in times.items() if count > 1} == {}
    assert run.ledger.odd_stories() == {}
    assert {job["source"]["key"] for job in run.ledger.jobs if job["run"] > 1} <= run.client.unanswered.keys()
    assert len(run.ledger.ends(run.client.sent)) == UPLOADS + PLAIN


def assert_webhooks(run: Run) -> None:
    """One message for each end of an announced job; it comes again only where its answer or record was cut off."""
    ends = run.ledger.ends([key for key in run.client.announced if key in run.client.sent])
    owed = {event.id: event.job.source.key for event in run.ledger.ended() if event.job.webhook is not None}
    assert len(ends) == UPLOADS
    assert ends <= owed.keys()
    assert {key for id_, key in owed.items() if id_ not in ends} <= run.client.unanswered.keys(), "versions sent again"
    assert {one["event_id"] for one in run.ledger.deliveries} == owed.keys()
    assert {id_ for id_, _ in run.heard} == owed.keys()
    done = [(one, one.fault.target, one.fault.kind) for one in run.chaos.done]
    excuses = [one for one, target, kind in done if target == "notifier>receiver" or (target, kind) == KILLED]
    again = [pair for id_ in owed for pair in pairwise(sorted(at for heard, at in run.heard if heard == id_))]
    assert [pair for pair in again if not any(pair[0] <= one.ended and one.began <= pair[1] for one in excuses)] == []
    assert len(again) <= AT_ONCE * len(excuses)
