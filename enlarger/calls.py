"""Each call of the service is written once and serves both clients.

A call is an `async def` marked `@call` in a class that derives from `Calls`; a list is marked `@listing`:

    class Shelves(Calls):
        @call
        async def shelf(self, name: str) -> Shelf:
            return read(Shelf, await self._ask("GET", path("shelves", name)))

        @listing
        def shelves(self) -> AsyncIterator[Shelf]:
            return self._items(Page[Shelf], "/v1/shelves", {})

The class stands among the bases of `Service`, and that is all: `await AsyncClient(…).shelf("a")` and
`Client(…).shelf("a")` are a `Shelf`, for the type checker too. `Client` runs the coroutine to its end, with a network
that blocks where the other one awaits. So a call awaits nothing but other calls and what `Calls` and its network have:
files are opened, read and written by `self._network.apart(…)`, and `self._network.sleep(…)` sleeps.

A POST that makes something carries an `Idempotency-Key` in `headers` where the service heeds one (`new_key()`), and is
asked `once=True` where it does not.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload
from urllib.parse import quote

import httpx2

from enlarger.driving import each, finish
from enlarger.errors import EnlargerError, problem
from enlarger.login import Login, bearer, expired
from enlarger.models import Page
from enlarger.network import Network, Stream
from enlarger.reading import read
from enlarger.retries import BACKOFF_SECONDS, CUT, NEVER_SENT, ONCE, REPEATABLE, Clock, Worth, persist

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Calls:
    """What every call asks with.

    Args:
        network: Connections to the service.
        token: API token, or what to sign in with. It is sent to the service alone, never to its object store.
        clock: Where time and chance come from.
        timeout_seconds: Longest silence on a connection.
    """

    def __init__(self, network: Network, token: str | Login, *, clock: Clock, timeout_seconds: float) -> None:
        self._network = network
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._bearer = bearer(token, network, clock)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        waits: tuple[float, ...] = BACKOFF_SECONDS,
        once: bool = False,
        headers: Mapping[str, str] | None = None,
        **request: Any,  # noqa: ANN401 - what httpx2 takes: json, params, data, files, timeout
    ) -> httpx2.Response:
        """Ask the service, again after each of *waits* where it is busy or the connection was cut.

        What may be done *once* only, and carries no `Idempotency-Key` that the service heeds, is asked again only where
        it cannot have been done. What is deleted is gone also where a try whose answer was lost did it.
        """

        async def attempt() -> httpx2.Response:
            token = await self._bearer.token()
            try:
                return await self._try(token, method, path, headers or {}, request)
            except EnlargerError as error:
                if not (expired(error) and await self._bearer.renew(token)):
                    raise
            return await self._try(await self._bearer.token(), method, path, headers or {}, request)

        wanted = _gone(attempt) if method == "DELETE" else attempt
        return await self._persist(wanted, waits, ONCE if once else REPEATABLE)

    async def _try(
        self, token: str, method: str, path: str, headers: Mapping[str, str], request: Mapping[str, Any]
    ) -> httpx2.Response:
        sent = {**headers, **_authorization(token)}
        response = await self._network.request(method, path, headers=sent, **request)
        if response.is_error:
            raise problem(response)
        return response

    async def _items(self, kind: type[Page[_T]], path: str, params: Mapping[str, str]) -> AsyncIterator[_T]:
        """Yield what a list holds, page after page as somebody iterates."""
        more: Mapping[str, str] = {}
        while True:
            page = read(kind, await self._ask("GET", path, params={**params, **more}))
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            more = {"cursor": page.next_cursor}

    @asynccontextmanager
    async def _listen(self, path: str, headers: Mapping[str, str], limits: httpx2.Timeout) -> AsyncIterator[Stream]:
        """Open a live stream, again with another token where there is one for that which was refused."""
        async with AsyncExitStack() as opened:
            for last in (False, True):
                token = await self._bearer.token()
                sent = {**headers, **_authorization(token)}
                stream = await opened.enter_async_context(self._network.listen(path, sent, limits))
                refused = stream.response.status_code == httpx2.codes.UNAUTHORIZED
                if last or not (refused and await self._bearer.renew(token)):
                    break
                await opened.aclose()
            yield stream

    async def _persist(
        self,
        attempt: Callable[[], Awaitable[_T]],
        waits: tuple[float, ...] = BACKOFF_SECONDS,
        worth: Worth = REPEATABLE,
    ) -> _T:
        sleep, chance = self._network.sleep, self._clock.chance
        return await persist(attempt, sleep=sleep, chance=chance, waits=waits, worth=worth)


class Waiting:
    """A client whose methods return what their calls return; *core* has the calls themselves."""

    def __init__(self, core: Calls) -> None:
        self._core = core


class call(Generic[_P, _T]):  # noqa: N801 - read as a decorator
    """A method that is written once: a coroutine of `AsyncClient`, a plain method of `Client`."""

    def __init__(self, written: Callable[Concatenate[Any, _P], Coroutine[Any, Any, _T]]) -> None:
        @wraps(written)
        def waiting(client: Any, *args: Any, **given: Any) -> _T:  # noqa: ANN401 - the types stand in `__get__`
            return finish(written(client._core, *args, **given))  # noqa: SLF001 - ours

        self._written, self._waiting, self.__doc__ = written, waiting, written.__doc__

    @overload
    def __get__(self, client: Waiting, kind: type[object]) -> Callable[_P, _T]: ...
    @overload
    def __get__(self, client: Calls, kind: type[object]) -> Callable[_P, Coroutine[Any, Any, _T]]: ...
    @overload
    def __get__(self, client: None, kind: type[object]) -> Callable[..., Any]: ...
    def __get__(self, client: Waiting | Calls | None, kind: type[object]) -> Callable[..., Any]:
        """The method as that kind of client has it."""
        return _method(self._waiting if issubclass(kind, Waiting) else self._written, client)


class listing(Generic[_P, _T]):  # noqa: N801 - read as a decorator
    """A list that is written once: for `async for` with an `AsyncClient`, for `for` with a `Client`."""

    def __init__(self, written: Callable[Concatenate[Any, _P], AsyncIterator[_T]]) -> None:
        @wraps(written)
        def waiting(client: Any, *args: Any, **given: Any) -> Iterator[_T]:  # noqa: ANN401 - as in `call`
            return each(written(client._core, *args, **given))  # noqa: SLF001 - ours

        self._written, self._waiting, self.__doc__ = written, waiting, written.__doc__

    @overload
    def __get__(self, client: Waiting, kind: type[object]) -> Callable[_P, Iterator[_T]]: ...
    @overload
    def __get__(self, client: Calls, kind: type[object]) -> Callable[_P, AsyncIterator[_T]]: ...
    @overload
    def __get__(self, client: None, kind: type[object]) -> Callable[..., Any]: ...
    def __get__(self, client: Waiting | Calls | None, kind: type[object]) -> Callable[..., Any]:
        """The method as that kind of client has it."""
        return _method(self._waiting if issubclass(kind, Waiting) else self._written, client)


def path(*names: str) -> str:
    """Below `/v1`: each of *names* is one segment, whatever characters it has."""
    return "/".join(("/v1", *(quote(name, safe="") for name in names)))


def _method(function: Callable[..., Any], client: object | None) -> Callable[..., Any]:
    return function if client is None else MethodType(function, client)


def _authorization(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _gone(attempt: Callable[[], Awaitable[httpx2.Response]]) -> Callable[[], Awaitable[httpx2.Response]]:
    """*attempt* at a DELETE, for which nothing is missing that a try before, whose answer was lost, has deleted."""
    lost = False

    async def remembering() -> httpx2.Response:
        nonlocal lost
        try:
            return await attempt()
        except NEVER_SENT:
            raise
        except CUT:
            lost = True
            raise
        except EnlargerError as error:
            if lost and error.status == httpx2.codes.NOT_FOUND:
                return httpx2.Response(httpx2.codes.NO_CONTENT)
            raise

    return remembering
