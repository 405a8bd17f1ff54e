"""Where the time of a job goes, stage by stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("queue", "get", "decode", "device", "gate", "encode", "put")


class Stopwatch:
    """Adds up the seconds of named stages; every stage is there from the start."""

    def __init__(self, *, queue_seconds: float) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.seconds["queue"] = queue_seconds

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time one stage, also when it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - began
