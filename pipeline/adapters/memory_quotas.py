"""`QuotaStore` in memory, for unit tests alone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.job import Job
from pipeline.ports.quotas import Own


class MemoryQuotas:
    """`QuotaStore` in a dictionary, beside the *jobs* by id and the documents of *quality* of their runs."""

    def __init__(self, jobs: Mapping[str, Job], quality: Mapping[tuple[str, int], dict[str, Any]]) -> None:
        self._jobs = jobs
        self._quality = quality
        self._own: dict[str, Own] = {}

    async def own(self, owner: str) -> Own:
        """See `QuotaStore.own`."""
        return self._own.get(owner, {})

    async def give(self, owner: str, own: Own) -> None:
        """See `QuotaStore.give`."""
        self._own[owner] = dict(own)

    async def uploaded_bytes(self, owner: str, since: datetime) -> int:
        """See `QuotaStore.uploaded_bytes`."""
        return sum(job.source.bytes or 0 for job in self._of(owner) if job.created_at >= since)

    async def asked_pixels(self, owner: str, since: datetime) -> int:
        """See `QuotaStore.asked_pixels`."""
        return sum(job.output_pixels or 0 for job in self._of(owner) if job.queued_at and job.queued_at >= since)

    async def device_seconds(self, owner: str, since: datetime) -> float:
        """See `QuotaStore.device_seconds`."""
        measured = [document for document in self._quality.values() if document.get("owner") == owner]
        return sum(float(document["device_seconds"]) for document in measured if document["measured_at"] >= since)

    def _of(self, owner: str) -> list[Job]:
        return [job for job in self._jobs.values() if job.owner == owner]
