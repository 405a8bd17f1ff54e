"""The connection to one service: its HTTP clients, retries, answers as models. What is asked of it stands elsewhere."""

import re
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from pydantic import ValidationError

from enlarger.errors import EnlargerError, problem
from enlarger.models import Answer, Page
from enlarger.retries import BACKOFF_SECONDS, Clock, persist

_Answer = TypeVar("_Answer", bound=Answer)
_Item = TypeVar("_Item")


class Connection:
    """A connection to one Enlarger service.

    Every method raises `EnlargerError`. Busy answers and lost connections are tried again, a few times.

    Args:
        url: Address of the service, `http://` or `https://`.
        token: API token. It is sent to the service alone, never to its object store.
        transport: Stands in for the network, for tests.
        clock: Stands in for time and chance, for tests.
        timeout_seconds: Longest silence on a connection.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Clock | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        _refuse_unusable(url, token)
        headers = {"authorization": f"Bearer {token}"}
        self._api = httpx2.Client(base_url=url, headers=headers, transport=transport, timeout=timeout_seconds)
        self._streams = httpx2.Client(base_url=url, headers=headers, transport=transport)
        self._store = httpx2.Client(transport=transport, timeout=timeout_seconds)
        self._clock = clock or Clock()
        self._timeout_seconds = timeout_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._streams.close()
        self._store.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        waits: tuple[float, ...] = BACKOFF_SECONDS,
        **request: Any,  # noqa: ANN401 - what httpx2 takes: json, params, data, files
    ) -> httpx2.Response:
        def attempt() -> httpx2.Response:
            response = self._api.request(method, path, **request)
            if response.is_error:
                raise problem(response)
            return response

        return persist(attempt, clock=self._clock, waits=waits)

    def _pages(self, kind: type[Page[_Item]], path: str, params: Mapping[str, str]) -> Iterator[_Item]:
        more: Mapping[str, str] = {}
        while True:
            page = read(kind, self._call("GET", path, params={**params, **more}))
            yield from page.items
            if page.next_cursor is None:
                return
            more = {"cursor": page.next_cursor}


def read(kind: type[_Answer], response: httpx2.Response) -> _Answer:
    """The answer as a model; raises `EnlargerError` (`answer_invalid`)."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise not_ours(response) from error


def not_ours(response: httpx2.Response) -> EnlargerError:
    """What to raise where something else than Enlarger answered."""
    return EnlargerError(
        f"{response.request.method} {response.url} got an answer ({response.status_code}) that no Enlarger gives",
        code="answer_invalid",
        hint="Check that ENLARGER_URL names an Enlarger service of this version or a newer one.",
        status=response.status_code,
    )


def _refuse_unusable(url: str, token: str) -> None:
    if re.match(r"https?://[^\s/]", url) is None:
        raise EnlargerError(
            f"{url!r} is no http:// or https:// address", code="settings_invalid", hint="Set ENLARGER_URL."
        )
    if not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        hint = "Set ENLARGER_TOKEN to the token exactly as it was given."
        raise EnlargerError(
            "The token is empty or holds characters that no token has", code="settings_invalid", hint=hint
        )
