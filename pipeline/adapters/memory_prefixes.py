"""`PrefixStore` in memory, for unit tests alone."""

from pipeline.ports.prefixes import Binding, prefixes_of


class MemoryPrefixes:
    """`PrefixStore` in a dictionary."""

    def __init__(self) -> None:
        self.bound: dict[tuple[str, str], Binding] = {}

    async def bind(self, binding: Binding) -> None:
        """See `PrefixStore.bind`."""
        self.bound[binding.owner, binding.prefix] = binding

    async def unbind(self, owner: str, prefix: str) -> bool:
        """See `PrefixStore.unbind`."""
        return self.bound.pop((owner, prefix), None) is not None

    async def bindings(self) -> list[Binding]:
        """See `PrefixStore.bindings`."""
        return [self.bound[place] for place in sorted(self.bound)]

    async def nearest(self, owner: str, key: str) -> Binding | None:
        """See `PrefixStore.nearest`."""
        above = [self.bound[owner, prefix] for prefix in prefixes_of(key) if (owner, prefix) in self.bound]
        return above[-1] if above else None
