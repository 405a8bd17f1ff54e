"""What owners may ask of a service, and what they have had of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, TypeAlias

from enlarger.calls import Calls, call, path
from enlarger.models import Answer
from enlarger.reading import read

#: The quotas by name: amounts of a day, but `jobs`, which are those unfinished at a time.
NAMES: Final = ("bytes", "pixels", "jobs", "device_seconds")
#: A number, no bound at all, or None: as the settings of the service have it.
Bound: TypeAlias = int | Literal["unlimited"] | None


class Used(Answer):
    """How much is used of one quota, and how much is left; None where there is no bound."""

    used: int | float
    quota: int | None = None
    left: int | float | None = None


class Usage(Answer):
    """What an owner has used; amounts of the day start anew at *resets_at*."""

    owner: str
    resets_at: datetime
    bytes: Used
    pixels: Used
    jobs: Used
    device_seconds: Used


class OwnerQuotas(Answer):
    """What was *said* of an owner, and the *quotas* that hold for them (None: no bound), by name."""

    owner: str
    said: dict[str, Bound]
    quotas: dict[str, int | None]


class Quotas(Calls):
    """Usage for everybody; usage and quotas of others for tokens of admins."""

    @call
    async def usage(self, owner: str | None = None) -> Usage:
        """Read what you, or another *owner*, have used of your quotas, and what is left."""
        whose = path("usage") if owner is None else path("admin", "usage", owner)
        return read(Usage, await self._ask("GET", whose))

    @call
    async def quotas(self, owner: str) -> OwnerQuotas:
        """Read the quotas of an owner."""
        return read(OwnerQuotas, await self._ask("GET", path("admin", "quotas", owner)))

    @call
    async def set_quotas(self, owner: str, said: Mapping[str, Bound]) -> OwnerQuotas:
        """Say *said*, by name, of an owner in place of all that was said before; what is left out is as for all."""
        return read(OwnerQuotas, await self._ask("PUT", path("admin", "quotas", owner), json=dict(said)))
