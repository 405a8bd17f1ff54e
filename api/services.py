"""What handlers find in `request.state`: the wiring of this process in one typed dictionary."""

from typing import TypedDict

from api.checks import Servers
from api.doctor import Canary, Doctor
from api.progress import LiveProgress
from api.submissions import Submissions
from pipeline.identity import new_job_id
from pipeline.outbox import Relay
from pipeline.ports import Bus, Clock, Documents, ObjectStore, Presigner
from pipeline.topology import PROGRESS


class Services(TypedDict):
    """The lifespan state."""

    documents: Documents
    objects: ObjectStore
    presigner: Presigner
    relay: Relay
    submissions: Submissions
    progress: LiveProgress
    servers: Servers
    doctor: Doctor
    clock: Clock
    public_url: str
    max_upload_bytes: int


async def wire(
    documents: Documents,
    objects: ObjectStore,
    presigner: Presigner,
    bus: Bus,
    *,
    clock: Clock,
    public_url: str,
    max_upload_bytes: int,
) -> Services:
    """Everything on top of the ports, already listening to the bus."""
    relay = Relay(documents.jobs, bus)
    progress = LiveProgress()
    canary = Canary(objects)
    await bus.listen(PROGRESS, progress.heard)
    await bus.listen("uploads.*", canary.heard)
    servers = Servers(documents, objects, bus)
    return Services(
        documents=documents,
        objects=objects,
        presigner=presigner,
        relay=relay,
        submissions=Submissions(documents, objects, presigner, relay, clock=clock, new_id=new_job_id),
        progress=progress,
        servers=servers,
        doctor=Doctor(servers, canary, documents.workers, clock=clock),
        clock=clock,
        public_url=public_url,
        max_upload_bytes=max_upload_bytes,
    )
