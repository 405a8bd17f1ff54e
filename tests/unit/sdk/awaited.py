"""An `AsyncClient` that a test can call as it calls a `Client`."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from typing import Any, Self

from enlarger import AsyncClient


class Awaited:
    """Runs each call on an event loop of its own, to its end; lists as far as somebody iterates."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        @wraps(method)
        def call(*args: Any, **given: Any) -> Any:
            answer = method(*args, **given)
            return self._runner.run(answer) if inspect.iscoroutine(answer) else self._each(answer)

        return call

    def _each(self, things: AsyncIterator[Any]) -> Iterator[Any]:
        end = object()

        async def step() -> Any:
            return await anext(things, end)

        while (thing := self._runner.run(step())) is not end:
            yield thing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()
