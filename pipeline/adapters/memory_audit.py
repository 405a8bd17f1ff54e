"""`AuditStore` in memory, for unit tests alone."""

from collections.abc import Mapping
from dataclasses import replace

from pipeline.ports.audit import Entry


class MemoryAudit:
    """`AuditStore` in a dictionary."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    async def begin(self, entry: Entry) -> None:
        """See `AuditStore.begin`."""
        self.entries.setdefault(entry.id, entry)

    async def end(self, entry_id: str, status: int, details: Mapping[str, str]) -> None:
        """See `AuditStore.end`."""
        entry = self.entries.get(entry_id)
        if entry is not None and entry.status is None:
            self.entries[entry_id] = replace(entry, status=status, details=dict(details))

    async def page(self, *, limit: int, before: str | None = None) -> list[Entry]:
        """See `AuditStore.page`."""
        ids = sorted((id_ for id_ in self.entries if before is None or id_ < before), reverse=True)
        return [self.entries[id_] for id_ in ids[:limit]]
