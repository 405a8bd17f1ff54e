"""What is counted for as long as the installation lives, whichever process counts it."""

from typing import Final, Literal, Protocol, get_args

CounterName = Literal["sweep_found_total", "fast_missed_total", "messages_restored_total"]
COUNTERS: Final[tuple[CounterName, ...]] = get_args(CounterName)


class CounterStore(Protocol):
    """Figures that only grow. Raises `PipelineError` `storage_unavailable` as every store."""

    async def add(self, name: CounterName, amount: int) -> None:
        """Count *amount* more, also while others count."""

    async def read(self) -> dict[str, int]:
        """Every figure by its name; 0 where nothing was counted yet."""
