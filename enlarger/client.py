"""The two clients: one method per thing the service does, over HTTP alone."""

from types import TracebackType
from typing import Self

import httpx2

from enlarger.accounts import Accounts
from enlarger.admin import Admin
from enlarger.batches import Batches
from enlarger.calls import Waiting, call
from enlarger.endpoints import Endpoints
from enlarger.jobs import Jobs
from enlarger.login import Login
from enlarger.network import Blocking
from enlarger.objects import Objects
from enlarger.previewing import Previewing
from enlarger.quotas import Quotas
from enlarger.retries import Clock
from enlarger.settings import settings
from enlarger.tokens import Tokens


class Service(Jobs, Previewing, Batches, Objects, Accounts, Endpoints, Admin, Tokens, Quotas):
    """Every call that both clients have."""

    @call
    async def close(self) -> None:
        """Close the connections."""
        await self._network.close()


class Client(Waiting, Service):
    """A connection to one Enlarger service, safe to share between threads.

    Every method raises `EnlargerError`. Busy answers and lost connections are tried again, a few times.

    Args:
        url: Address of the service, `http://` or `https://`; None: `ENLARGER_URL` says it.
        token: API token, or a `Login`; None: `ENLARGER_TOKEN` says it. It is never sent to the object store.
        transport: Stands in for the network, for tests.
        clock: Stands in for time and chance, for tests.
        timeout_seconds: Longest silence on a connection.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | Login | None = None,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Clock | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        url, token = settings(url, token)
        clock = clock or Clock()
        network = Blocking(url, transport=transport, clock=clock, timeout_seconds=timeout_seconds)
        Waiting.__init__(self, Service(network, token, clock=clock, timeout_seconds=timeout_seconds))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(Service):
    """The same for `asyncio`: the methods of `Client` are coroutines, its lists are for `async for`.

    All tasks of one event loop can share it; one that is cancelled leaves neither a connection nor a file open.
    What you have it call, such as `on_progress`, runs on the event loop: let that be quick.

    Args:
        url: As for `Client`, and so are all others.
        token: As for `Client`.
        transport: Stands in for the network, for tests.
        clock: Stands in for time and chance, for tests.
        timeout_seconds: Longest silence on a connection.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | Login | None = None,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        from enlarger.concurrent import Concurrent

        url, token = settings(url, token)
        clock = clock or Clock()
        network = Concurrent(url, transport=transport, clock=clock, timeout_seconds=timeout_seconds)
        super().__init__(network, token, clock=clock, timeout_seconds=timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
