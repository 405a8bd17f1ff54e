"""Which dialects are spoken here, and what their clients may do. Pure."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from api.dialects.bus_figures import Reading, unknown
from api.dialects.machine import Gauge
from pipeline.identity import fingerprint

NAMES: Final = ("base64", "status", "v1uploads", "images", "apiimages")
DOWNLOAD_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Dialects:
    """What the settings say of the dialects.

    Args:
        names: Those that are spoken.
        tokens: Owners by the SHA-256 of the bearer tokens that stand in the settings.
        anonymous: Whether who shows no token may use what asked for none.
        registration: Whether anybody may make an account in a dialect that has accounts.
        download_seconds: How long the address of a result of `base64` works.
        input_px: Pictures of `base64` are enlarged as if their longer side had at most so many pixels; 0: as they are.
        bus_figures: What the bus says of itself.
        machine: What this machine does.
        pause: Waits so many seconds between two looks at a job.
    """

    names: tuple[str, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    anonymous: bool = False
    registration: bool = False
    download_seconds: int = DOWNLOAD_SECONDS
    input_px: int = 0
    bus_figures: Reading = unknown
    machine: Gauge = field(default_factory=Gauge)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


def spoken(setting: str | None, *, host: str) -> tuple[str, ...]:
    """The dialects that *setting* names; where it is silent all of them on loopback, and none elsewhere.

    Raises:
        ValueError: It names something else.
    """
    if setting is None:
        return NAMES if loopback(host) else ()
    wanted = words(setting)
    if unknown := sorted(set(wanted) - {*NAMES, "all"}):
        raise ValueError(f"{', '.join(unknown)} is no dialect; there are {', '.join(NAMES)} and all")
    return NAMES if "all" in wanted else tuple(name for name in NAMES if name in wanted)


def owners(tokens: str) -> dict[str, str]:
    """An owner of its own for each of the comma-separated *tokens*, by the SHA-256 of the token."""
    hashes = [fingerprint(token) for token in words(tokens)]
    return {digest: f"token-{digest[:8]}" for digest in hashes}


def words(text: str) -> list[str]:
    """What stands between the commas of *text*."""
    return [word for word in (part.strip() for part in text.split(",")) if word]


def loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on *host*."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
