"""What the service answers of batches, as frozen values."""

from collections.abc import Mapping
from datetime import datetime

from enlarger.models import Answer, Failure, Output


class Batch(Answer):
    """Many jobs asked for at once; `counts` tells how many of them are in each status."""

    id: str
    status: str
    created_at: datetime | None = None
    completed_at: datetime | None = None
    total: int = 0
    refused: int = 0
    counts: Mapping[str, int] = {}
    metadata: Mapping[str, str] = {}

    @property
    def completed(self) -> bool:
        """Every job has ended, well or badly."""
        return self.status == "completed"

    @property
    def succeeded(self) -> bool:
        """Every picture that was sent became a job that succeeded."""
        return self.completed and not self.refused and self.counts.get("succeeded", 0) == self.total


class ManifestLine(Answer):
    """What became of one picture: of a file that became no job, only `error` tells."""

    key: str
    job_id: str | None = None
    status: str | None = None
    outputs: tuple[Output, ...] = ()
    error: Failure | None = None
