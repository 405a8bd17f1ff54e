"""What handlers find in `request.state`: the wiring of this process in one typed dictionary."""

import asyncio
from collections.abc import Mapping
from typing import TypedDict

from api.accounts.accounts import Rules
from api.accounts.people import People, people_of
from api.arrivals import Arrivals
from api.batch_making import BatchMaker
from api.batches import Batches
from api.checks import Servers
from api.dialects.setup import Dialects
from api.doctor import Canary, Doctor
from api.estimates import Estimates, Limits
from api.fetching import Fetcher
from api.idempotency import Once
from api.lanes import Lanes
from api.limits import LimitName, RateLimits
from api.links import Links
from api.live.crowd import Crowds
from api.live.hub import Hub
from api.live.places import Places
from api.live.telling import briefly, telling
from api.metrics import Metrics
from api.preferences import Patience, Pause
from api.previews import Previews
from api.progress import LiveProgress
from api.queues import Queues
from api.submissions import Submissions
from api.thumbnails import Thumbnails
from api.webhooks import Webhooks
from pipeline.clock import Clock
from pipeline.egress import Egress
from pipeline.identity import new_webhook_secret
from pipeline.outbox import Relay
from pipeline.ports.bus import Bus
from pipeline.ports.credentials import CredentialStore
from pipeline.ports.documents import Documents
from pipeline.ports.objects import ObjectStore, Presigner
from pipeline.ports.quotas import Quotas
from pipeline.quotas import Allowances
from pipeline.topology import JOB_EVENTS, PROGRESS


class Following(TypedDict):
    """What tells of jobs while they go on."""

    queues: Queues
    progress: LiveProgress
    live: Hub
    crowds: Crowds


class Running(TypedDict):
    """What whoever runs the service asks."""

    servers: Servers
    doctor: Doctor
    lanes: Lanes
    metrics: Metrics


class Services(People, Following, Running):
    """The lifespan state."""

    documents: Documents
    objects: ObjectStore
    presigner: Presigner
    bus: Bus
    relay: Relay
    submissions: Submissions
    arrivals: Arrivals
    once: Once
    batches: Batches
    batch_maker: BatchMaker
    patience: Patience
    estimates: Estimates
    previews: Previews
    thumbnails: Thumbnails
    limits: RateLimits
    links: Links
    allowances: Allowances
    places: Places
    credentials: CredentialStore
    webhooks: Webhooks
    clock: Clock
    public_url: str
    max_upload_bytes: int
    dialects: Dialects


async def wire(  # noqa: PLR0913 - the ports, and what differs between installations
    documents: Documents,
    objects: ObjectStore,
    presigner: Presigner,
    bus: Bus,
    *,
    credentials: CredentialStore,
    egress: Egress,
    clock: Clock,
    public_url: str,
    max_upload_bytes: int,
    rules: Rules,
    quotas: Mapping[LimitName, int],
    max_pixels: int,
    allowance: Quotas | None = None,
    places: Places | None = None,
    pause: Pause = asyncio.sleep,
    dialects: Dialects | None = None,
) -> Services:
    """Everything on top of the ports, already listening to the bus."""
    relay = Relay(documents.jobs, bus)
    following = await _following(documents, bus, clock=clock, public_url=public_url)
    limits = Limits(upload_bytes=max_upload_bytes, pixels=max_pixels)
    arrivals = Arrivals(documents, objects, Fetcher(egress, max_bytes=max_upload_bytes), max_bytes=max_upload_bytes)
    allowances = Allowances(documents, allowance, clock=clock)
    submissions = Submissions(documents, objects, presigner, relay, allowances=allowances, clock=clock)
    estimates = Estimates(documents, objects, following["queues"], allowances=allowances, clock=clock, limits=limits)
    return Services(
        **people_of(documents, rules, clock=clock),
        **following,
        **await _running(documents, objects, bus, clock=clock),
        documents=documents,
        objects=objects,
        presigner=presigner,
        bus=bus,
        relay=relay,
        submissions=submissions,
        batches=Batches(documents, relay, clock=clock, public_url=public_url),
        batch_maker=BatchMaker(
            documents, arrivals, submissions, allowances=allowances, clock=clock, max_bytes=max_upload_bytes
        ),
        once=Once(documents.claims, clock=clock),
        patience=Patience(documents.jobs, pause=pause),
        estimates=estimates,
        previews=Previews(objects, submissions, estimates),
        thumbnails=Thumbnails(documents.jobs, objects, submissions, clock),
        arrivals=arrivals,
        limits=RateLimits(documents.limits, quotas, clock=clock),
        links=Links(rules.key, documents.jobs, documents.users, clock=clock, public_url=public_url),
        allowances=allowances,
        places=places or Places(),
        credentials=credentials,
        webhooks=Webhooks(documents.endpoints, documents.deliveries, clock=clock, new_secret=new_webhook_secret),
        clock=clock,
        public_url=public_url,
        max_upload_bytes=max_upload_bytes,
        dialects=dialects or Dialects(),
    )


async def _following(documents: Documents, bus: Bus, *, clock: Clock, public_url: str) -> Following:
    """All that hears what the bus says of jobs, listening to it."""
    queues, progress = Queues(documents, bus, clock=clock), LiveProgress()
    live = Hub(read=documents.jobs.get, tell=telling(queues, progress, public_url=public_url))
    crowds = Crowds(read=documents.batches.jobs, tell=briefly(progress, public_url=public_url))

    def heard(subject: str, body: bytes) -> None:
        live.heard(subject, body)
        crowds.heard(subject, body)

    progress.pass_on(live.progressed)
    await bus.listen(PROGRESS, progress.heard)
    await bus.listen(JOB_EVENTS, heard)
    return Following(queues=queues, progress=progress, live=live, crowds=crowds)


async def _running(documents: Documents, objects: ObjectStore, bus: Bus, *, clock: Clock) -> Running:
    """All that looks at the servers and the workers, its canary listening for uploads."""
    servers, lanes, canary = Servers(documents, objects, bus), Lanes(documents.lanes, bus, clock=clock), Canary(objects)
    await bus.listen("uploads.*", canary.heard)
    return Running(
        servers=servers,
        doctor=Doctor(servers, canary, documents.workers, lanes, clock=clock),
        lanes=lanes,
        metrics=Metrics(documents, lanes, clock=clock),
    )
