"""A connection that says on stderr when it waits for a service that is busy."""

import sys
import threading
from dataclasses import replace
from typing import Final

from enlarger.client import Client
from enlarger.retries import Clock

#: A wait that nobody has to be told of. Between looks at a job no more than this passes.
UNTOLD_SECONDS: Final = 2.0


def connect(url: str, token: str) -> Client:
    """Open a client that says so before it tries again after more than two seconds."""
    return Client(url, token, clock=telling(Clock()))


def telling(clock: Clock) -> Clock:
    """*clock*, whose long sleeps are told, once where several threads sleep at a time."""
    told_until = float("-inf")
    turn = threading.Lock()

    def sleep(seconds: float) -> None:
        nonlocal told_until
        with turn:
            now = clock.now()
            if seconds > UNTOLD_SECONDS and now >= told_until:
                told_until = now + seconds
                print(f"the service is busy or away: trying again in {seconds:.0f} s", file=sys.stderr)
        clock.sleep(seconds)

    return replace(clock, sleep=sleep)
