"""`LimitStore` in memory, for unit tests alone."""

from collections import Counter
from datetime import datetime


class MemoryLimits:
    """`LimitStore` in a dictionary."""

    def __init__(self) -> None:
        self.counted = Counter[tuple[str, datetime]]()

    async def hit(self, key: str, until: datetime, count: int = 1) -> int:
        """See `LimitStore.hit`."""
        self.counted[key, until] += count
        return self.counted[key, until]
