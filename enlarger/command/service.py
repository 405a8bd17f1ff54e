"""`enlarger models ls`, `doctor` and `env`: what the service offers, whether it works, how to reach it."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import typer

from enlarger.admin_models import Check, Worker
from enlarger.command.session import AsJson, Session, connected, reporting
from enlarger.command.settings import ENV_FILE, find_env_file, read_env_file
from enlarger.command.show import pairs, print_json, print_line, print_table, when
from enlarger.errors import EnlargerError
from enlarger.models import Model

#: What to do when a check fails, by a word of its name; the first that fits.
ADVICE: Final = (
    (
        ("fast", "durable", "notif", "canary", "target"),
        "Run `python -m infra bootstrap`; then look at the log of MinIO.",
    ),
    (("minio", "storage", "bucket"), "See that MinIO runs and that ENLARGER_MINIO_URL names it."),
    (("nats", "stream", "bus"), "See that nats-server runs with JetStream and that ENLARGER_NATS_URL names it."),
    (("mongo", "document"), "See that MongoDB runs and that ENLARGER_MONGO_URL names it."),
    (
        ("lane",),
        "Look at the workers' log; `enlarger sweep` restores lost messages; then start the workers again.",
    ),
    (("worker", "processor"), "Start a worker: `python -m processors`."),
)
#: What all the other checks rest on.
SERVERS: Final = ("mongo", "minio", "nats")
OTHERWISE: Final = "Look at the log of `python -m api`."


def models_ls(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List the models that --model takes."""
    with connected(ctx) as client:
        models = client.models()
    if as_json:
        print_json({"items": [model.model_dump(mode="json") for model in models]})
        return
    rows = [
        (
            model.name,
            " ".join(f"{scale:g}" for scale in model.scales),
            model.architecture or "",
            model.licence or "",
            "yes" if model.available else f"no: {'; '.join(_trouble(model))}",
        )
        for model in models
    ]
    print_table(("model", "scales", "architecture", "licence", "available"), rows)


def doctor(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Check everything that the service depends on; exit 1 when something does not work."""
    with connected(ctx) as client:
        report = client.doctor()
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        print_table(("check", "status", "seconds", "detail", "what to do"), _check_rows(report.checks))
        print_line("")
        print_table(("worker", "engine", "precision", "models", "heartbeat", "probe"), map(_worker_row, report.workers))
        _print_unusable(report.workers)
    if not all(check.passed for check in report.checks):
        raise typer.Exit(1)


def env(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Print what `make up` set up, for: eval "$(enlarger env)"."""
    session: Session = ctx.obj
    with reporting():
        file = find_env_file(session.folder)
        if file is None:
            raise EnlargerError(
                f"no {ENV_FILE} in or above {session.folder}",
                code="settings_missing",
                hint="Run `make up` in your clone of Enlarger, then this command inside that clone.",
            )
        values = read_env_file(file)
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")


def _check_rows(checks: Iterable[Check]) -> Iterator[tuple[str, ...]]:
    away = [check.name for check in checks if check.name in SERVERS and not check.passed]
    for check in checks:
        seconds = "" if check.seconds is None else f"{check.seconds:.3f}"
        yield check.name, check.status, seconds, check.detail, "" if check.passed else _advice(check.name, away)


def _advice(name: str, away: Sequence[str]) -> str:
    if away and name not in SERVERS:
        return f"First mend {' and '.join(away)}: this rests on it."
    return next((text for words, text in ADVICE if any(word in name.lower() for word in words)), OTHERWISE)


def _worker_row(worker: Worker) -> tuple[str, ...]:
    unusable = {model.name for model in worker.unusable}
    models = " ".join(name for name in map(str, worker.models) if name not in unusable)
    return (
        worker.name,
        worker.engine or "",
        worker.precision or "",
        models,
        _heartbeat(worker),
        pairs(worker.probe or {}),
    )


def _heartbeat(worker: Worker) -> str:
    if worker.heartbeat_seconds is None:
        return when(worker.seen_at)
    age = f"{worker.heartbeat_seconds:.0f} s"
    return f"no heartbeat for {age}" if worker.late else f"{age} ago"


def _print_unusable(workers: Iterable[Worker]) -> None:
    rows = [(model.name, worker.name, *_trouble(model)) for worker in workers for model in worker.unusable]
    if rows:
        print_line("")
        print_table(("model", "not on", "because", "what to do"), rows)


def _trouble(model: Model) -> tuple[str, str]:
    """Why a model cannot be used, and what mends it."""
    return model.reason or "its weights are not here", model.remedy or f"python -m processors models pull {model.name}"
