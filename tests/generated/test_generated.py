"""Requests made from the description, and whether every answer is one that it announces.

`make schemathesis` makes thousands of them; without EXAMPLES there are some hundreds, in about a minute.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.api.conftest import TOKENS

ROOT = Path(__file__).parents[2]
SEED = os.environ.get("SEED", "1")
#: How many requests are drawn for each operation; those of the phase `coverage` are the same every time.
EXAMPLES = int(os.environ.get("EXAMPLES", "5"))
FULL = "EXAMPLES" in os.environ
PHASES = "examples,coverage,fuzzing,stateful" if FULL else "examples,fuzzing,stateful"
LEAST = 3_000 if FULL else 500
CONFIGURATION = f"""
request-timeout = 20.0
max-stream-events = 1  # a stream lasts for as long as its job
continue-on-failure = true
hooks = "tests.generated.meanings"

[auth.wfc]
path = "people.json"
peers = ["alice", "bob"]

[generation]
max-examples = {EXAMPLES}
database = "none"

[phases.stateful.generation]
max-examples = {(20 if FULL else 8) * EXAMPLES}

[warnings]
enabled = false  # such as of calls that only ever answered 404: an id that is drawn names nothing
"""


def people(tokens: Mapping[str, str]) -> str:
    """Who calls, as https://github.com/WebFuzzing/Commons has them: each call is tried in this order, admin last."""
    names = sorted(tokens, key=lambda name: (name == "admin", name))
    headers = {name: [{"name": "Authorization", "value": f"Bearer {tokens[name]}"}] for name in names}
    return json.dumps({"auth": [{"name": name, "fixedHeaders": headers[name]} for name in names]})


def counted(report: str, words: str) -> int:
    """A number in schemathesis' own words."""
    (number,) = re.findall(words, report)
    return int(number.replace(",", ""))


@pytest.mark.timeout(3600)
def test_no_generated_request_gets_an_answer_that_is_not_described(
    listening: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "people.json").write_text(people(TOKENS))
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = (
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml"),
        *("run", f"{listening}/openapi.json", "--phases", PHASES, "--checks", "all", "--seed", SEED, "--no-color"),
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # where the hooks are
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    cases, followed = (counted(ran.stdout, words) for words in (r"([\d,]+) generated", r"API Links: +([\d,]+) covered"))
    with capsys.disabled():
        request.config.get_terminal_writer().line(
            f"\n{cases} requests and {followed} kinds of links with SEED={SEED}: all answered as described"
        )
    assert cases >= LEAST
    assert followed > 0
