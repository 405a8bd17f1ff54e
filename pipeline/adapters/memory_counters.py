"""`CounterStore` in memory, for unit tests alone."""

from pipeline.ports.counters import COUNTERS, CounterName


class MemoryCounters:
    """`CounterStore` in a dictionary."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    async def add(self, name: CounterName, amount: int) -> None:
        """See `CounterStore.add`."""
        self.counted[name] += amount

    async def read(self) -> dict[str, int]:
        """See `CounterStore.read`."""
        return dict(self.counted)
