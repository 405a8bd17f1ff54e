"""What those ask of a service who run it."""

from collections.abc import AsyncIterator

from enlarger.account_models import User
from enlarger.admin_models import (
    AuditEntry,
    Credential,
    CredentialList,
    Doctor,
    Lane,
    LaneList,
    Letter,
    Prefix,
    PrefixList,
    Retention,
    Sweep,
)
from enlarger.calls import Calls, call, listing, path
from enlarger.models import Page
from enlarger.reading import read

#: Longer than the service looks for what was lost.
SWEEP_SECONDS = 330.0
#: Longer than the service works at one pass of retention.
PASS_SECONDS = 90.0


class Admin(Calls):
    """Lanes, dead messages, retention, prefixes, credentials, the sweep and the doctor; for tokens of admins."""

    @call
    async def lanes(self) -> tuple[Lane, ...]:
        """List the lanes: what waits, what is paused, what stands still."""
        return read(LaneList, await self._ask("GET", "/v1/admin/lanes")).items

    @call
    async def pause_lane(self, lane: str, *, seconds: int, reason: str) -> Lane:
        """Let no work of a lane begin for so many seconds, at most a day."""
        body = {"seconds": seconds, "reason": reason}
        return read(Lane, await self._ask("POST", path("admin", "lanes", lane, "pause"), json=body))

    @call
    async def resume_lane(self, lane: str) -> Lane:
        """End a pause now."""
        return read(Lane, await self._ask("POST", path("admin", "lanes", lane, "resume")))

    @listing
    def letters(self) -> AsyncIterator[Letter]:
        """Yield messages that nobody could read, oldest first, page after page as you iterate."""
        return self._items(Page[Letter], "/v1/admin/dead", {})

    @call
    async def letter(self, letter_id: str) -> Letter:
        """Read one dead message."""
        return read(Letter, await self._ask("GET", path("admin", "dead", letter_id)))

    @call
    async def replay(self, letter_id: str) -> Letter:
        """Send a dead message again to where it came from, and discard it."""
        return read(Letter, await self._ask("POST", path("admin", "dead", letter_id, "replay"), once=True))

    @call
    async def discard(self, letter_id: str) -> None:
        """Discard a dead message."""
        await self._ask("DELETE", path("admin", "dead", letter_id))

    @call
    async def retention(self) -> Retention:
        """Read what retention would remove now."""
        return read(Retention, await self._ask("GET", "/v1/admin/retention"))

    @call
    async def retain(self) -> Retention:
        """Remove what has had its time, as much as one pass takes. Tried once: a pass that was lost goes on."""
        return read(Retention, await self._ask("POST", "/v1/admin/retention", waits=(), timeout=PASS_SECONDS))

    @call
    async def keep(self, owner: str, days: int | None) -> Retention:
        """Keep an owner's objects for *days*, 0 for ever, None as the setting has it."""
        return read(Retention, await self._ask("PUT", path("admin", "retention", owner), json={"days": days}))

    @call
    async def prefixes(self) -> tuple[Prefix, ...]:
        """List the presets that hold for all uploads below a folder."""
        return read(PrefixList, await self._ask("GET", "/v1/admin/prefixes")).items

    @call
    async def bind_prefix(self, prefix: str, preset: str, *, owner: str | None = None) -> Prefix:
        """Give later uploads below *prefix* a preset; with "" all later jobs of *owner*, who is "default" if None."""
        named = {} if owner is None else {"owner": owner}
        body = {"prefix": prefix, "preset": preset} | named
        return read(Prefix, await self._ask("PUT", "/v1/admin/prefixes", json=body))

    @call
    async def unbind_prefix(self, prefix: str, *, owner: str | None = None) -> None:
        """Take the preset from a prefix."""
        params = {"prefix": prefix} | ({} if owner is None else {"owner": owner})
        await self._ask("DELETE", "/v1/admin/prefixes", params=params)

    @call
    async def credentials(self) -> tuple[Credential, ...]:
        """List the S3 credentials of homes, without their secrets."""
        return read(CredentialList, await self._ask("GET", "/v1/admin/s3-credentials")).items

    @call
    async def create_credential(self, user: str) -> Credential:
        """Make an S3 credential for the home of *user*. Tried once: a second try would make a second one."""
        return read(Credential, await self._ask("POST", "/v1/admin/s3-credentials", once=True, json={"user": user}))

    @call
    async def revoke_credential(self, access_key: str) -> None:
        """Make an S3 credential useless."""
        await self._ask("DELETE", path("admin", "s3-credentials", access_key))

    @call
    async def create_user(self, email: str, password: str, *, role: str = "user", owner: str | None = None) -> User:
        """Make an account, of a new owner unless one is named. Tried once: a second try would be refused."""
        body = {"email": email, "password": password, "role": role} | ({} if owner is None else {"owner": owner})
        return read(User, await self._ask("POST", "/v1/admin/users", once=True, json=body))

    @listing
    def audit(self) -> AsyncIterator[AuditEntry]:
        """Yield what admins did, newest first, page after page as you iterate."""
        return self._items(Page[AuditEntry], "/v1/admin/audit", {})

    @call
    async def sweep(self) -> Sweep:
        """Have the service look for what was lost, all uploads included. Tried once: a pass that was lost goes on."""
        return read(Sweep, await self._ask("POST", "/v1/admin/sweep", waits=(), timeout=SWEEP_SECONDS))

    @call
    async def doctor(self) -> Doctor:
        """Have the service check all it depends on. Tried once: whoever asks wants to hear about now."""
        return read(Doctor, await self._ask("GET", "/v1/admin/doctor", waits=()))
