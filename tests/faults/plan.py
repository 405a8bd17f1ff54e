"""What goes wrong, and when: drawn from a seed, so that a run that failed can be had again."""

import random
from dataclasses import dataclass
from typing import Final, Literal

from tests.faults.proxy import Mode

#: Processes that are killed and frozen, servers and services alike.
PROCESSES: Final = ("nats", "minio", "mongo", "ingest", "processors", "processors-2", "notifier", "api")
#: Who speaks to whom.
LINKS: Final = (
    *(f"{service}>{server}" for service in ("ingest", "processors", "api") for server in ("minio", "nats", "mongo")),
    *("notifier>nats", "notifier>mongo", "notifier>receiver", "minio>nats", "client>minio", "client>api"),
)
MODES: Final[tuple[Mode, ...]] = ("cut", "hole", "delay", "throttle")
SHORTEST_SECONDS: Final = 0.3
#: Longer than the lease of the test, so that some who were held for dead come back.
LONGEST_SECONDS: Final = 5.0
#: The second try of a webhook comes after some 5 s and the third after 5 minutes: one fault, and a short one.
RECEIVER_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: from *at_seconds* after the start of the run, for *seconds*."""

    at_seconds: float
    target: str
    kind: Mode | Literal["kill", "freeze"]
    seconds: float


def plan(seed: int, *, within_seconds: float) -> list[Fault]:
    """Every process is killed once and frozen once, and every link fails once, at moments of the seed's choice."""
    drawn = random.Random(seed)  # noqa: S311 - no secret

    def fault(target: str, kind: Mode | Literal["kill", "freeze"]) -> Fault:
        longest = RECEIVER_SECONDS if target == "notifier>receiver" else LONGEST_SECONDS
        return Fault(drawn.uniform(0, within_seconds), target, kind, drawn.uniform(SHORTEST_SECONDS, longest))

    faults = [fault(name, kind) for name in PROCESSES for kind in ("kill", "freeze")]
    faults += [fault(name, drawn.choice(MODES)) for name in LINKS]
    return sorted(faults, key=lambda one: one.at_seconds)
