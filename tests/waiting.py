"""Waiting for something to become true, with a deadline that says what did not."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    look: Callable[[], T | None], *, seconds: float = 30.0, what: str = "", every_seconds: float = 0.05
) -> T:
    """The first answer of *look* that is neither None nor False."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what or look}")
        time.sleep(every_seconds)
