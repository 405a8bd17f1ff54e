"""Run coroutines that never suspend: how calls that are written once also serve those who block."""

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_END: Final = object()


def finish(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """What *coroutine* returns; all that it awaits must be done when it is awaited, as with a `Blocking` network."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a call of a blocking client awaits something that only an event loop brings")


def each(things: AsyncIterator[_T]) -> Iterator[_T]:
    """Yield *things* as they come, under the same condition."""
    try:
        while (thing := finish(_next(things))) is not _END:
            yield thing  # type: ignore[misc]
    finally:
        finish(_close(things))


async def _next(things: AsyncIterator[_T]) -> _T | object:
    return await anext(things, _END)


async def _close(things: AsyncIterator[Any]) -> None:
    if isinstance(things, AsyncGenerator):  # it may hold a connection
        await things.aclose()
