"""`SessionStore` in memory, for unit tests alone."""

from dataclasses import replace

from pipeline.ports.sessions import Refresh, Session


class MemorySessions:
    """`SessionStore` in two dictionaries."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.refreshes: dict[str, Refresh] = {}

    async def open(self, session: Session, refresh: Refresh) -> None:
        """See `SessionStore.open`."""
        self.sessions[session.id] = session
        self.refreshes[refresh.hash] = refresh

    async def get(self, session_id: str) -> Session | None:
        """See `SessionStore.get`."""
        return self.sessions.get(session_id)

    async def refresh(self, token_hash: str) -> Refresh | None:
        """See `SessionStore.refresh`."""
        return self.refreshes.get(token_hash)

    async def rotate(self, used: Refresh, successor: Refresh) -> bool:
        """See `SessionStore.rotate`."""
        if self.refreshes[used.hash].used:
            return False
        self.refreshes[used.hash] = replace(used, used=True)
        self.refreshes[successor.hash] = successor
        session = self.sessions[used.session]
        self.sessions[session.id] = replace(session, expires_at=successor.expires_at)
        return True

    async def revoke(self, session_id: str) -> None:
        """See `SessionStore.revoke`."""
        if session_id in self.sessions:
            self.sessions[session_id] = replace(self.sessions[session_id], revoked=True)

    async def revoke_all(self, owner: str) -> None:
        """See `SessionStore.revoke_all`."""
        for session in list(self.sessions.values()):
            if session.owner == owner:
                await self.revoke(session.id)
