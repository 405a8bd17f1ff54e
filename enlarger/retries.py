"""When a request is tried again, and how long to wait before. Time comes from a `Clock`, so tests need none."""

import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx2

from enlarger.errors import EnlargerError

#: Waits between tries; one try more than there are waits.
BACKOFF_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
#: What is answered as one who is busy does, but not for less than a day: whoever asks wants to hear of it.
USED_UP: Final = "quota_exceeded"
#: An earlier try of the same request, whose connection was lost, is not done yet.
UNDER_WAY: Final = "idempotency_in_flight"
#: Who waits for a job outlasts a restart of the service.
RESTART_SECONDS: Final = (*BACKOFF_SECONDS, 8.0, 8.0, 8.0)
NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
CUT: Final = (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Worth:
    """After what a request is worth another try: failures of the network, and statuses."""

    failures: tuple[type[httpx2.RequestError], ...]
    statuses: frozenset[int]


#: For what may be done twice: it changes nothing, comes to the same, or carries a key that makes it once.
REPEATABLE: Final = Worth(CUT, frozenset({429, 503}))
#: For what may not: only what cannot have been done.
ONCE: Final = Worth(NEVER_SENT, frozenset({429}))


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time and chance come from.

    Args:
        now: Seconds that only grow.
        sleep: Sleeps so many seconds, for `Client`.
        chance: A number in [0, 1).
        pause: Sleeps so many seconds while other tasks go on, for `AsyncClient`; None: `asyncio.sleep`.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    pause: Callable[[float], Awaitable[None]] | None = None


async def persist(
    attempt: Callable[[], Awaitable[_T]],
    *,
    sleep: Callable[[float], Awaitable[None]],
    chance: Callable[[], float],
    waits: tuple[float, ...] = BACKOFF_SECONDS,
    worth: Worth = REPEATABLE,
) -> _T:
    """Await *attempt* until it answers, at most once more than there are *waits*.

    A busy answer (429, 503) is worth another try, and so is a cut connection, unless *worth* says less. A wait is the
    server's `Retry-After` or the next of *waits*, lengthened by up to a quarter so that many clients do not come back
    at once.

    Args:
        attempt: Makes one try.
        sleep: Lets so many seconds pass.
        chance: A number in [0, 1).
        waits: Seconds between tries.
        worth: After what there is another try.

    Raises:
        EnlargerError: `service_unreachable` when the last try found no server, else what *attempt* raised.
    """
    for wait in waits:
        try:
            return await attempt()
        except worth.failures:
            seconds = wait
        except httpx2.RequestError as error:
            raise unreachable(error) from error
        except EnlargerError as error:
            busy = error.status in worth.statuses and error.code != USED_UP
            if not busy and error.code != UNDER_WAY:
                raise
            seconds = error.retry_after_seconds or wait
        await sleep(seconds * (1 + chance() / 4))
    try:
        return await attempt()
    except httpx2.RequestError as error:
        raise unreachable(error) from error


def unreachable(error: httpx2.RequestError) -> EnlargerError:
    """Say which server did not answer."""
    where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    return EnlargerError(
        f"No answer from {where}: {error or type(error).__name__}",
        code="service_unreachable",
        hint="Check that the service runs and that this machine can reach that address.",
    )


def polling_waits() -> Iterator[float]:
    """Seconds between looks at a job: quick at first, at most two."""
    wait = 0.25
    while True:
        yield wait
        wait = min(2.0, wait * 1.3)
