"""How answers look on a terminal: plain lines, tables and JSON. Names from the wire cannot control the terminal."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from enlarger.errors import EnlargerError
from enlarger.models import Answer, Job, Metrics, Queue

GOOD = frozenset({"succeeded", "pass"})
BAD = frozenset({"failed", "fail", "expired"})
#: Room for a table that nobody sees on a terminal: a pipe has no width.
PIPE_COLUMNS = 240


def print_json(value: object) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2))


def as_sent(answer: Answer) -> dict[str, object]:
    """What the service sent, also what this version does not know."""
    return answer.model_dump(mode="json", exclude_unset=True)


def print_line(text: str) -> None:
    """Print one line whose text came from files or from the wire."""
    print(printable(text))


def complain(error: EnlargerError) -> None:
    """Print an error and what to do about it on stderr."""
    print(printable(f"error: {error.code}: {error.detail}"), file=sys.stderr)
    if error.hint:
        print(printable(error.hint), file=sys.stderr)


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, stderr: bool = False) -> None:
    """Print rows under heads; long cells fold, nothing is cut off."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    _console(stderr=stderr).print(table)


def print_story(job: Job, metrics: Metrics | None) -> None:
    """Print what is known of one job, a line each."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, text in story(job, metrics):
        grid.add_row(name, _cell(text))
    _console().print(grid)


def story(job: Job, metrics: Metrics | None) -> list[tuple[str, str]]:
    """Tell a job as names and texts, in the order in which it happened; what is not known is left out."""
    lines = [
        ("job", f"{job.id}  run {job.run}  attempt {job.attempt}"),
        ("status", " ".join(filter(None, (job.status, job.status_reason)))),
        ("source", _picture(job.source.bucket, job.source.key, job.source.model_dump())),
        ("options", _options(job)),
        ("queue", _queue(job.queue) if job.queue and not job.terminal else ""),
        ("progress", f"{job.progress.percent:.1f} %" if job.progress and not job.terminal else ""),
        *(
            (name.removesuffix("_at"), when(getattr(job, name)))
            for name in ("created_at", "started_at", "completed_at")
        ),
        *(
            (f"output {output.role}", _picture(output.bucket, output.key, output.model_dump()))
            for output in job.outputs
        ),
        ("engine", " ".join(filter(None, (metrics.engine, metrics.precision, metrics.model))) if metrics else ""),
        ("seconds", pairs(metrics.stages_seconds) if metrics else ""),
        ("quality", pairs(job.quality or {})),
        ("notes", ", ".join(job.notes)),
        ("error", f"{job.error.code}: {job.error.detail}" if job.error else ""),
        ("what to do", job.error.hint if job.error else ""),
    ]
    return [line for line in lines if line[1]]


def pairs(values: Mapping[str, Any]) -> str:
    """Write a mapping as `name value` words, without what is None or an empty list."""
    return "  ".join(f"{name} {_word(value)}" for name, value in values.items() if value not in (None, []))


def when(moment: datetime | None) -> str:
    """Write a moment to the second, in UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%SZ}"


def printable(text: str) -> str:
    """Replace what is no printable character, escape sequences first of all."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _cell(text: str) -> Text:
    style = "green" if text in GOOD else "red" if text in BAD else ""
    return Text(printable(text), style=style)


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PIPE_COLUMNS)


def _picture(bucket: str, key: str, facts: Mapping[str, Any]) -> str:
    size = f"{facts['width']} x {facts['height']} px" if facts["width"] else ""
    weight = f"{facts['bytes']} bytes" if facts["bytes"] else ""
    return "  ".join(filter(None, (f"{bucket}/{key}", size, facts["format"], weight)))


def _queue(queue: Queue) -> str:
    eta, low, high = queue.eta_seconds, queue.eta_low_seconds, queue.eta_high_seconds
    known = None not in (eta, low, high)
    done = f"done in {eta:.0f} s ({low:.0f} to {high:.0f})" if known else ""
    return "  ".join(filter(None, (queue.lane, queue.place, done)))


def _options(job: Job) -> str:
    origin = job.options.origin
    return ", ".join(
        f"{name} {value} ({origin[name]})" if name in origin else f"{name} {value}"
        for name, value in job.options.effective.items()
        if value not in (None, [])
    )


def _word(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_word(one)}" for name, one in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
