"""How long work stays with a process that has fallen silent, and every other time that follows from that."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

LEASE_SECONDS: Final = 45.0


@dataclass(frozen=True, slots=True)
class Lease:
    """One length for jobs and messages alike; the setting `ENLARGER_LEASE_SECONDS` gives all of them."""

    seconds: float = LEASE_SECONDS

    @property
    def ack_wait_seconds(self) -> float:
        """After so long the bus gives an unsettled message to somebody else."""
        return self.seconds

    @property
    def heartbeat_seconds(self) -> float:
        """How often a message in hand is held back from that: two beats may be lost."""
        return self.seconds / 3

    @property
    def renew_seconds(self) -> float:
        """How often a worker renews the lease of its job; also how late it notices that it has lost it."""
        return self.seconds / 9

    @property
    def delivery_seconds(self) -> float:
        """The lease of a webhook delivery: longer than an attempt (20 s) and its recording can take."""
        return self.seconds * 4 / 3

    @property
    def longest_delay_seconds(self) -> float:
        """No message waits longer than this for the next try after a fault of ours."""
        return self.seconds * 4 / 3

    @property
    def settled(self) -> timedelta:
        """Younger uploads and outboxes are still in live hands."""
        return timedelta(seconds=self.seconds * 2 / 3)

    @property
    def repair_every_seconds(self) -> float:
        """How often outboxes and leases are looked after."""
        return self.seconds * 2 / 3

    @property
    def sweep_every_seconds(self) -> float:
        """How often the uploads are compared with the documents."""
        return self.seconds * 20 / 3


USUAL: Final = Lease()
