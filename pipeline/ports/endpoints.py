"""Where owners want to hear of events."""

from typing import Protocol

from pipeline.endpoints import Endpoint


class EndpointStore(Protocol):
    """Webhook endpoints. Raises `PipelineError` `storage_unavailable` as every store."""

    async def insert(self, endpoint: Endpoint) -> None:
        """Store a new one."""

    async def get(self, id_: str) -> Endpoint | None:
        """Read one, whoever owns it."""

    async def of(self, owner: str) -> list[Endpoint]:
        """All of an owner, oldest first."""

    async def save(self, endpoint: Endpoint) -> bool:
        """Replace revision `endpoint.rev - 1`; False when somebody else has changed or deleted it."""

    async def delete(self, owner: str, id_: str) -> bool:
        """Drop one; False when the owner has none of this id."""
