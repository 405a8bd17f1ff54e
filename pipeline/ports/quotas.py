"""What is known of each owner's quotas, and how much of them the documents say is used."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

QuotaName = Literal["bytes", "pixels", "jobs", "device_seconds"]
#: What an owner may have by name; what is not named has no bound.
Quotas: TypeAlias = Mapping[QuotaName, int]
#: What somebody said of one owner in place of the settings; None: no bound.
Own: TypeAlias = Mapping[QuotaName, int | None]


class QuotaStore(Protocol):
    """Quotas by owner, and sums over their documents. Raises `PipelineError` `storage_unavailable` as every store."""

    async def own(self, owner: str) -> Own:
        """What was said of this owner; empty where nothing was."""

    async def give(self, owner: str, own: Own) -> None:
        """Say that of an owner, known or not, in place of what was said before."""

    async def uploaded_bytes(self, owner: str, since: datetime) -> int:
        """Of the uploads of all the owner's jobs made from then on, announced ones included."""

    async def asked_pixels(self, owner: str, since: datetime) -> int:
        """Of the outputs of all the owner's jobs whose present run was queued from then on."""

    async def device_seconds(self, owner: str, since: datetime) -> float:
        """What all runs of the owner's took that were measured from then on."""
