"""`EndpointStore` in memory, for unit tests alone."""

from pipeline.endpoints import Endpoint


class MemoryEndpoints:
    """`EndpointStore` in a dictionary."""

    def __init__(self) -> None:
        self.stored: dict[str, Endpoint] = {}

    async def insert(self, endpoint: Endpoint) -> None:
        """See `EndpointStore.insert`."""
        self.stored[endpoint.id] = endpoint

    async def get(self, id_: str) -> Endpoint | None:
        """See `EndpointStore.get`."""
        return self.stored.get(id_)

    async def of(self, owner: str) -> list[Endpoint]:
        """See `EndpointStore.of`."""
        return [self.stored[id_] for id_ in sorted(self.stored) if self.stored[id_].owner == owner]

    async def save(self, endpoint: Endpoint) -> bool:
        """See `EndpointStore.save`."""
        stored = self.stored.get(endpoint.id)
        if stored is None or stored.rev != endpoint.rev - 1:
            return False
        self.stored[endpoint.id] = endpoint
        return True

    async def delete(self, owner: str, id_: str) -> bool:
        """See `EndpointStore.delete`."""
        stored = self.stored.get(id_)
        if stored is None or stored.owner != owner:
            return False
        del self.stored[id_]
        return True
