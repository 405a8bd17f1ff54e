"""How many streams may be open at a time through this process: of one owner, and of all of them together."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipeline.errors import PipelineError

#: When a place may be free: a stream ends with its jobs, which nobody knows beforehand.
AGAIN_SECONDS: Final = 10


class StreamsExhaustedError(PipelineError):
    """All places are taken: of an owner, or of this process; *quota* is how many there are."""

    def __init__(self, quota: int, *, of_all: bool) -> None:
        detail = f"{quota} streams of yours are open, which is all that you may have at a time."
        if of_all:
            detail = f"{quota} streams are open, which is all that this process has."
        hint = "Close one, follow many jobs in one stream (GET /v1/jobs/events), or poll GET /v1/jobs/{id}."
        super().__init__(detail, code="streams_exhausted", hint=hint, retryable=True)
        self.quota = quota


class Places:
    """Streams that are open; *per_owner* and *in_all* are the most there may be, None: no bound."""

    def __init__(self, per_owner: int | None = None, in_all: int | None = None) -> None:
        self.per_owner = per_owner
        self.in_all = in_all
        self._taken = Counter[str]()

    @property
    def open(self) -> int:
        """How many streams there are."""
        return self._taken.total()

    @contextmanager
    def taken(self, owner: str) -> Iterator[None]:
        """Have a place until the block ends, however it does; raises `StreamsExhaustedError` before it."""
        if self.per_owner is not None and self._taken[owner] >= self.per_owner:
            raise StreamsExhaustedError(self.per_owner, of_all=False)
        if self.in_all is not None and self.open >= self.in_all:
            raise StreamsExhaustedError(self.in_all, of_all=True)
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
