"""The life of one key: real intake, real workers, real retries and repairs, a call of a port at a time.

Nothing runs by itself: an actor is a coroutine that gives way before its calls of ports, and whoever drives the world
decides who goes on. An actor that is never driven again has died; one that is driven again much later was frozen.
"""

from collections.abc import Coroutine
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

from api.jobs import cancel_job
from api.retrying import retry_job
from ingest.intake import Intake, Limits
from ingest.notice import Notice
from ingest.sweep import Sweep
from pipeline.errors import PipelineError, RetryLaterError
from pipeline.events import Message
from pipeline.job import Job
from pipeline.lease import LEASE_SECONDS
from pipeline.outbox import Relay
from pipeline.ports.documents import Documents, JobFilter, SourceRecord
from pipeline.ports.objects import ObjectInfo
from pipeline.ports.sweep import SweepStore
from pipeline.quotas import Allowances
from pipeline.topology import OUTPUTS_BUCKET, UPLOADS_BUCKET
from tests.life.stand_ins import Actor, Gate, Handed, Hands, Objects, Open, Post, Run, Steady, face
from tests.making import NOON, Clock, picture

KEY: Final = "trip/a.png"
LIMITS: Final = Limits(10**6, 10**6)
BODIES: Final = tuple(picture(8, height) for height in (6, 7, 8, 9))


class World:
    """One key, its versions, and everybody who has to do with it.

    Args:
        documents: The stores that are tried.
        sweep: What the sweep needs of the same database.
        run: Runs one call of a store to its end.
    """

    def __init__(self, documents: Documents, sweep: SweepStore, run: Run) -> None:
        self.run = run
        self.clock = Clock()
        self.documents = documents
        self.store = sweep
        self.objects = Objects(self.clock)
        self.post = Post(self.clock)
        self.notices: list[Notice] = []
        self.actors: list[Actor] = []
        self.failing: PipelineError | None = None
        #: The newest version, or the deletion of it; and why the newest version may have no output.
        self.last: Notice | None = None
        self.excuses: set[str] = set()
        self.notices_lost = False
        #: No version comes or goes any more, so that nobody minds when an upload is read.
        self.uploads_rest = False
        self._ids = 0
        self._uncleared: list[list[str]] = []

    def begin_as(self, other: "World") -> None:
        """Take over what has happened in another world, whose documents are in our stores already."""
        assert not other.actors, "actors cannot be copied"
        self.clock.now, self.last, self._ids = other.clock.now, other.last, other._ids
        self.objects.stored.update(other.objects.stored)
        self.post.take_over(other.post)
        self._uncleared = [*other._uncleared]

    # what happens

    def put(self, version: int = 0, *, copies: int = 1, deadline: int | None = None) -> None:
        """A new version of the key, of which *copies* notices will arrive."""
        metadata = {"up-model": "lanczos"}
        if deadline is not None:
            metadata["up-deadline"] = str(deadline)
            self.excuses.add("deadline")
        moment = self._moment()
        body = BODIES[version % len(BODIES)]
        etag = self.run(self.objects.put(UPLOADS_BUCKET, KEY, body, content_type="image/png", metadata=metadata))
        self.last = Notice("created", KEY, moment, etag)
        self.notices += [self.last] * copies

    def delete(self) -> None:
        """The upload goes, and its notice will arrive."""
        moment = self._moment()
        self.run(self.objects.delete(UPLOADS_BUCKET, KEY))
        self.last = Notice("removed", KEY, moment, None)
        self.notices.append(self.last)

    def _moment(self) -> str:
        """The sequencer of a write: no two in one millisecond, and finer than a listing tells."""
        self.clock.advance(0.001)
        since_epoch = self.clock() - datetime.fromtimestamp(0, NOON.tzinfo)
        return f"{since_epoch // timedelta(milliseconds=1) * 10**6 + 654_321:016X}"

    def fail(self, error: PipelineError | None) -> None:
        """From now on every attempt meets this error, or none any more."""
        self.failing = error
        if error is not None:
            self.excuses.add(error.code)

    def lose_notice(self, position: int) -> None:
        """One of the notices never arrives."""
        del self.notices[position % len(self.notices)]
        self.notices_lost = True

    def lose_messages(self) -> None:
        """The stream is made again, empty."""
        self.post.work.clear()

    def wait(self, seconds: float) -> None:
        """Time passes; whoever is not in the middle of something clears the outboxes."""
        self.clock.advance(seconds)
        for published in self._uncleared:
            self.run(self.documents.jobs.relayed(published))
        self._uncleared.clear()

    def repair(self) -> None:
        """One turn of ingest's sweep over what was lost, all of it."""
        sweep = self._sweep()
        self.run(sweep.everything() if self.notices_lost else sweep.repair())

    def _sweep(self) -> Sweep:
        relay = Relay(self.documents.jobs, self.post)
        intake = Intake(self.documents, self.objects, relay, clock=self.clock, limits=LIMITS, new_id=self._new_id)
        self._uncleared.append(relay._published)
        return Sweep(intake, self.documents, self.store, self.objects, self.post, relay, self.clock)

    # who begins

    def take_in(self, position: int) -> Actor:
        """Ingest begins with one of the notices."""
        notice = self.notices[position % len(self.notices)]
        actor = Actor(f"ingest {notice.sequencer}", notice=notice)
        stores, relay, objects, _ = self._ports(actor)
        intake = Intake(stores, objects, relay, clock=self.clock, limits=LIMITS, new_id=self._new_id)
        return self._begin(actor, intake.take(notice))

    def hand_out(self, position: int) -> Actor:
        """A worker is given one of the messages, which may be in other hands as well."""
        id_ = sorted(self.post.work)[position % len(self.post.work)]
        actor = Actor(f"worker {id_}", message=id_)
        stores, relay, objects, bus = self._ports(actor)
        hands, door = cast("Any", Hands(objects, lambda: self.failing)), cast("Any", Open())
        worker = Steady("w", stores, objects, bus, relay, hands, self.clock, quarantine=door, actor=actor)
        body = self.post.work[id_][0].model_dump_json().encode()
        return self._begin(actor, worker.handle(cast("Any", Handed(body))))

    def cancel(self, job: Job) -> Actor:
        """Its owner cancels a job."""
        self.excuses.add("canceled_by_owner")
        actor = Actor(f"cancel {job.id}")
        stores, relay, _, _ = self._ports(actor)
        return self._begin(actor, cancel_job(stores.jobs, relay, job.owner, job.id, clock=self.clock))

    def retry(self, job: Job) -> Actor:
        """Its owner retries a job."""
        actor = Actor(f"retry {job.id}")
        stores, relay, _, _ = self._ports(actor)
        free = Allowances(stores, None, clock=self.clock)
        return self._begin(actor, retry_job(stores, relay, free, job.owner, job.id, clock=self.clock))

    def _ports(self, actor: Actor) -> tuple[Documents, Relay, Any, Any]:
        def gate(name: str, port: Any) -> Any:
            return Gate(self.run, actor, port, quiet=lambda call, *args: self._commutes(name, call, args))

        stores = {each.name: getattr(self.documents, each.name) for each in fields(self.documents)}
        slow = replace(self.documents, **{name: gate(name, store) for name, store in stores.items() if name != "ping"})
        bus = gate("bus", self.post)
        actor.relay = Relay(slow.jobs, bus)
        return slow, actor.relay, gate("objects", self.objects), bus

    def _commutes(self, port: str, call: str, args: tuple[Any, ...]) -> bool:
        """Whether nobody does anything else because such a call comes earlier or later than another one's."""
        match port:
            case "bus":
                return call == "publish" and args[0].subject.startswith("events.")
            case "objects":
                return self.uploads_rest and args[0] == UPLOADS_BUCKET
            case "jobs":
                return call == "unfinished"
        return port != "sources"

    def _new_id(self) -> str:
        self._ids += 1
        return f"job_{self._ids:026}"

    def _begin(self, actor: Actor, work: Coroutine[Any, Any, Any]) -> Actor:
        actor.work = work
        self.actors.append(actor)
        return actor

    # who goes on

    def go_on(self, actor: Actor) -> None:
        """Let one actor go on to its next call of a port."""
        assert actor.work is not None
        actor.hear("a turn")
        try:
            actor.work.send(None)
        except StopIteration:
            self._settle(actor, done=True)
        except (RetryLaterError, PipelineError):  # the message comes again, or the owner is told why not
            self._settle(actor, done=False)

    def finish(self, actor: Actor) -> None:
        """Let one actor go on to its end."""
        while actor in self.actors:
            self.go_on(actor)

    def _settle(self, actor: Actor, *, done: bool) -> None:
        self.actors.remove(actor)
        if actor.relay is not None:
            self._uncleared.append(actor.relay._published)
        if done and actor.message is not None:
            self.post.work.pop(actor.message, None)
        if done and actor.notice in self.notices:
            self.notices.remove(actor.notice)

    def die(self, actor: Actor) -> None:
        """It is never driven again."""
        assert actor.work is not None
        actor.work.close()
        self.actors.remove(actor)

    def renew(self, actor: Actor) -> None:
        """A worker renews its lease, or sees that it has none."""
        until = self.clock() + timedelta(seconds=LEASE_SECONDS)
        if actor.job is not None and not self.run(self.documents.jobs.renew(actor.job, until)):
            actor.lost.set()

    def end(self) -> None:
        """Nobody goes on."""
        for actor in list(self.actors):
            self.die(actor)

    # what can be seen

    def jobs(self) -> list[Job]:
        """Every job of the key, oldest first."""
        return sorted(
            self.run(self.documents.jobs.page("default", limit=100, only=JobFilter(key=KEY))), key=lambda job: job.id
        )

    def owed(self, job: Job) -> list[Message]:
        """What the outbox of a job holds."""
        return cast("list[Message]", self.run(self.documents.jobs.owed(job.id)))

    def source(self) -> SourceRecord | None:
        """The record of the key."""
        return cast("SourceRecord | None", self.run(self.documents.sources.get(KEY)))

    def present(self) -> bool:
        """Whether the upload is there."""
        return (UPLOADS_BUCKET, KEY) in self.objects.stored

    def output(self) -> ObjectInfo | None:
        """The output of the key, as it stands."""
        present = self.objects.stored.get((OUTPUTS_BUCKET, KEY))
        return present and present[0]

    def state(self) -> int:
        """Two worlds of the same state have the same future."""
        jobs = self.jobs()
        seen = sorted((actor.name, actor.past(), actor.lost.is_set()) for actor in self.actors)
        stored = sorted((*place, info.etag, *info.metadata.items()) for place, (info, _) in self.objects.stored.items())
        told = sorted({message.id for message in self.post.published})
        uncleared = sorted(id_ for published in self._uncleared for id_ in published)
        owed = [message.id for job in jobs for message in self.owed(job)]
        rest = (seen, stored, told, uncleared, owed, sorted(self.post.work), self.notices, self.clock.now)
        return hash((face(jobs), repr((self.source(), *rest))))
