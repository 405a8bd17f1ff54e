"""Whether a page of another site sent a request: what needs no token it may not do for whoever has it open.

The algorithm is that of Go's `net/http` (CrossOriginProtection): what the browser itself says of where a request comes
from (https://www.w3.org/TR/fetch-metadata/), else its Origin (RFC 6454). No browser, no such header: let through.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS: Final = frozenset({"same-origin", "none"})


def crossed(method: str, headers: Headers, *, trusted: Collection[str], public_url: str) -> bool:
    """Whether to refuse a request, for a page sent it that is neither ours nor of the origins *trusted*.

    Args:
        method: Of the request; those that change nothing are never refused.
        headers: Of the request. A bearer token is exempt: a page that has one was given it.
        trusted: Origins, `null` for pages from disk; `*` stands for all.
        public_url: The address that our own pages have.
    """
    if method in _SAFE or headers.get("authorization", "").lower().startswith("bearer "):
        return False
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if (origin is None and site is None) or "*" in trusted or origin in trusted:
        return False
    if site is not None:
        return site not in _OURS
    return not _own(str(origin), headers.get("host", ""), public_url)


def _own(origin: str, host: str, public_url: str) -> bool:
    """Whether *origin* is our address, or the *host* asked; a name may be pointed at us by whoever owns it."""
    try:
        named, ours = urlsplit(origin), urlsplit(public_url)
    except ValueError:
        return False
    if (named.scheme, named.netloc) == (ours.scheme, ours.netloc):
        return True  # whatever a proxy in front of us makes of the host
    return named.netloc == host and (named.hostname == "localhost" or _address(named.hostname))


def _address(hostname: str | None) -> bool:
    try:
        return bool(ip_address(hostname or ""))
    except ValueError:
        return False
