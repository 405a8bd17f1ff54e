"""Pages of a list: one more is read than is shown, and tells whether there are more."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Named(Protocol):
    """What a cursor can name."""

    @property
    def id(self) -> str:
        """Sorted as the list is."""


_Named = TypeVar("_Named", bound=Named)


def paged(found: Sequence[_Named], limit: int) -> tuple[Sequence[_Named], str | None]:
    """The first *limit* of *found*, and the cursor of what comes behind them; None: nothing does."""
    shown = found[:limit]
    return shown, shown[-1].id if len(found) > len(shown) else None
