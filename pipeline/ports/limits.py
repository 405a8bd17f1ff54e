"""What is counted for a while: calls by caller, the same for every process that counts."""

from datetime import datetime
from typing import Protocol


class LimitStore(Protocol):
    """Counts in windows of time. Raises `PipelineError` `storage_unavailable` as every store."""

    async def hit(self, key: str, until: datetime, count: int = 1) -> int:
        """Count *count* more under *key* in the window that ends at *until*; return what it holds now.

        Safe beside others who count the same. What was counted may be forgotten once the window has ended.
        """
