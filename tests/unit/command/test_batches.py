"""`enlarger batches`: why a wait ends with exit code 1."""

from typing import Any

import httpx2
import pytest

from tests.unit.command.conftest import Invoke
from tests.unit.fake_service import FakeService


def completed(service: FakeService, **said: Any) -> str:
    """Let the service tell once of a batch that is completed."""
    batch = {"id": "batch_1", "status": "completed", "created_at": "2026-01-01T00:00:00Z", **said}
    service.once("GET", "/v1/batches/batch_1", lambda _: httpx2.Response(200, json=batch))
    return "batch_1"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"total": 3, "refused": 1, "counts": {"succeeded": 1, "failed": 1}}, "1 refused, 1 failed"),
        ({"total": 2, "refused": 2, "counts": {}}, "2 refused"),
        ({"total": 4, "refused": 0, "counts": {"canceled": 2, "failed": 0, "expired": 2}}, "2 canceled, 2 expired"),
        ({"total": 4, "refused": 0, "counts": {"succeeded": 3}}, "not all have succeeded"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_wait_that_ends_badly_says_what_did_not_succeed(
    enlarger: Invoke, service: FakeService, said: Any, reason: str, form: tuple[str, ...]
) -> None:
    result = enlarger("batches", "wait", completed(service, **said), *form)
    assert (result.exit_code, result.stderr) == (1, f"{reason}: see enlarger batches manifest batch_1\n")


def test_a_wait_that_ends_well_says_nothing_on_stderr(enlarger: Invoke, service: FakeService) -> None:
    batch = completed(service, total=2, refused=0, counts={"succeeded": 2})
    result = enlarger("batches", "wait", batch)
    assert (result.exit_code, result.stderr) == (0, "")
