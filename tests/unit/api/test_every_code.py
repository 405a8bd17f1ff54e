"""Every documented error code is produced by what really raises it, and reaches the user as documented."""

from dataclasses import replace
from pathlib import Path

import pytest

from api.accounts.accounts import Rules
from api.quotas import TYPE
from pipeline.errors import CODES
from tests.unit.api.conftest import RULES, World
from tests.unit.api.every_answer import ANSWERS
from tests.unit.api.every_failure import FAILURES


@pytest.fixture
def rules(request: pytest.FixtureRequest) -> Rules:
    """Where everything else is tried anybody may register."""
    return replace(RULES, registration="registration_closed" not in request.node.name)


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_way_to_get_it(code: str) -> None:
    assert code in ANSWERS or code in FAILURES, (
        f"{code} is in CODES and nothing here produces it: add a function of that name to"
        " tests/unit/api/every_answer.py (a call answers it) or every_failure.py (a job fails with it)"
    )


def test_nothing_is_produced_that_is_not_documented() -> None:
    assert (set(ANSWERS) | set(FAILURES)) - set(CODES) == set()
    assert set(ANSWERS) & set(FAILURES) == set(), "one way is enough"


@pytest.mark.parametrize("code", ANSWERS)
def test_a_call_answers_the_code_with_its_status_and_what_to_do(world: World, code: str) -> None:
    answer = ANSWERS[code](world)
    problem = answer.json()
    assert (problem["code"], answer.status_code, problem["status"]) == (code, CODES[code], CODES[code])
    assert problem["type"] == (TYPE if code == "quota_exceeded" else f"urn:enlarger:error:{code}")
    assert problem["detail"]
    assert problem["hint"].endswith(".")


@pytest.mark.anyio
@pytest.mark.parametrize("code", FAILURES)
async def test_a_job_fails_with_the_code_and_says_what_to_do(code: str, tmp_path: Path) -> None:
    job = await FAILURES[code](tmp_path)
    assert job.error is not None
    assert (job.status, job.error.code) == ("failed", code)
    assert job.error.detail
    assert job.error.hint.endswith(".")
