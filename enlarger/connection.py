"""For calls that only a `Client` has: see `enlarger.calls` for those that both clients have."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import httpx2

from enlarger.calls import Calls, Waiting
from enlarger.driving import each, finish
from enlarger.models import Page
from enlarger.reading import not_ours, read
from enlarger.retries import BACKOFF_SECONDS

__all__ = ["Connection", "not_ours", "read"]
_Item = TypeVar("_Item")


class Connection(Waiting):
    """What calls of a `Client` alone ask with; a class of such calls stands before it among the bases of `Client`."""

    def __init__(self, core: Calls) -> None:
        super().__init__(core)
        self._clock = core._clock  # noqa: SLF001 - ours
        self._timeout_seconds = core._timeout_seconds  # noqa: SLF001 - ours

    def _call(
        self,
        method: str,
        path: str,
        *,
        waits: tuple[float, ...] = BACKOFF_SECONDS,
        **request: Any,  # noqa: ANN401 - what httpx2 takes: json, params, data, files
    ) -> httpx2.Response:
        return finish(self._core._ask(method, path, waits=waits, **request))  # noqa: SLF001 - ours

    def _pages(self, kind: type[Page[_Item]], path: str, params: Mapping[str, str]) -> Iterator[_Item]:
        return each(self._core._items(kind, path, params))  # noqa: SLF001 - ours
