"""What handlers find in `request.state`: the wiring of this process in one typed dictionary."""

import asyncio
from collections.abc import Mapping
from typing import TypedDict

from api.accounts.accounts import Accounts, Rules
from api.accounts.api_tokens import ApiTokens
from api.accounts.directory import Directory
from api.accounts.people import people_of
from api.accounts.sessions import Sessions
from api.arrivals import Arrivals
from api.batch_making import BatchMaker
from api.batches import Batches
from api.callers import Callers
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


class Services(TypedDict):
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
    progress: LiveProgress
    live: Hub
    crowds: Crowds
    servers: Servers
    doctor: Doctor
    lanes: Lanes
    limits: RateLimits
    links: Links
    allowances: Allowances
    places: Places
    queues: Queues
    metrics: Metrics
    credentials: CredentialStore
    webhooks: Webhooks
    clock: Clock
    public_url: str
    max_upload_bytes: int
    callers: Callers
    api_tokens: ApiTokens
    accounts: Accounts
    sessions: Sessions
    directory: Directory
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
    queues = Queues(documents, bus, clock=clock)
    progress, canary = LiveProgress(), Canary(objects)
    live = Hub(read=documents.jobs.get, tell=telling(queues, progress, public_url=public_url))
    crowds = Crowds(read=documents.batches.jobs, tell=briefly(progress, public_url=public_url))
    await _listen(bus, progress, live, crowds, canary)
    servers = Servers(documents, objects, bus)
    lanes = Lanes(documents.lanes, bus, clock=clock)
    people = people_of(documents, rules, clock=clock)
    limits = Limits(upload_bytes=max_upload_bytes, pixels=max_pixels)
    arrivals = Arrivals(documents, objects, Fetcher(egress, max_bytes=max_upload_bytes), max_bytes=max_upload_bytes)
    allowances = Allowances(documents, allowance, clock=clock)
    submissions = Submissions(documents, objects, presigner, relay, allowances=allowances, clock=clock)
    estimates = Estimates(documents, objects, queues, allowances=allowances, clock=clock, limits=limits)
    return Services(
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
        progress=progress,
        live=live,
        crowds=crowds,
        servers=servers,
        doctor=Doctor(servers, canary, documents.workers, lanes, clock=clock),
        lanes=lanes,
        limits=RateLimits(documents.limits, quotas, clock=clock),
        links=Links(rules.key, documents.jobs, documents.users, clock=clock, public_url=public_url),
        allowances=allowances,
        places=places or Places(),
        queues=queues,
        metrics=Metrics(documents, lanes, clock=clock),
        credentials=credentials,
        webhooks=Webhooks(documents.endpoints, documents.deliveries, clock=clock, new_secret=new_webhook_secret),
        clock=clock,
        public_url=public_url,
        max_upload_bytes=max_upload_bytes,
        callers=people.callers,
        api_tokens=people.api_tokens,
        sessions=people.sessions,
        accounts=people.accounts,
        directory=people.directory,
        dialects=dialects or Dialects(),
    )


async def _listen(bus: Bus, progress: LiveProgress, live: Hub, crowds: Crowds, canary: Canary) -> None:
    """Let everybody hear what the bus says of jobs and uploads."""

    def heard(subject: str, body: bytes) -> None:
        live.heard(subject, body)
        crowds.heard(subject, body)

    progress.pass_on(live.progressed)
    await bus.listen(PROGRESS, progress.heard)
    await bus.listen(JOB_EVENTS, heard)
    await bus.listen("uploads.*", canary.heard)
