"""What is asked of the sweep, and what it answers."""

from typing import Final

from pipeline.job import Failure, Record

#: Where a request for a pass over everything goes; its body is empty.
SWEEP_SUBJECT: Final = "ask.sweep"


class SweepReport(Record):
    """What a pass found that should have been there already; all are 0 where nothing was lost.

    Args:
        examined: Uploads that were compared with documents.
        found: Uploads that nobody had told of, or whose job was missing.
        restored: Jobs that got their lost message again.
        relayed: Messages that a crash had left unpublished.
    """

    examined: int = 0
    found: int = 0
    restored: int = 0
    relayed: int = 0


class Reply(Record):
    """The answer to a request: what was found, or why the pass ended early."""

    outcome: SweepReport | Failure
