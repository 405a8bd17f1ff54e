"""Every address of the dialects that are spoken."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from starlette.routing import Route

from api.dialects import apiimages, base64_, images, landing, status, v1uploads
from api.dialects.lines import Call, routes

CALLS: Final[Mapping[str, tuple[Call, ...]]] = {
    base64_.NAME: base64_.CALLS,
    status.NAME: status.CALLS,
    v1uploads.NAME: v1uploads.CALLS,
    images.NAME: images.CALLS,
    apiimages.NAME: apiimages.CALLS,
}


def dialect_routes(names: tuple[str, ...], *, trusted: Collection[str] = ()) -> list[Route]:
    """The routes of *names*; they stand in front of ours, of which they take over `GET /metrics` alone.

    *trusted*: origins whose pages may do what needs no token.
    """
    return routes(_calls(names), trusted) if names else []


def _calls(names: tuple[str, ...]) -> Iterator[Call]:
    for name in names:
        yield from CALLS.get(name, ())
    yield from landing.calls(names)
