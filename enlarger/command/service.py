"""`enlarger models ls`, `doctor` and `env`: what the service offers, whether it works, how to reach it."""

import shlex
from typing import Final

import typer

from enlarger.command.session import AsJson, Session, connected, reporting
from enlarger.command.settings import ENV_FILE, find_env_file, read_env_file
from enlarger.command.show import pairs, print_json, print_line, print_table, when
from enlarger.errors import EnlargerError
from enlarger.models import Check, Worker

#: What to do when a check fails, by a word of its name; the first that fits.
ADVICE: Final = (
    (
        ("fast", "durable", "notif", "canary", "target"),
        "Run `python -m infra bootstrap`; then look at the log of MinIO.",
    ),
    (("minio", "storage", "bucket"), "See that MinIO runs and that ENLARGER_MINIO_URL names it."),
    (("nats", "stream", "bus"), "See that nats-server runs with JetStream and that ENLARGER_NATS_URL names it."),
    (("mongo", "document"), "See that MongoDB runs and that ENLARGER_MONGO_URL names it."),
    (("worker", "processor"), "Start a worker: `python -m processors`."),
)
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
            "yes" if model.available else f"no: {model.reason or f'python -m processors models pull {model.name}'}",
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
        print_table(("check", "status", "seconds", "detail", "what to do"), map(_check_row, report.checks))
        print_line("")
        print_table(("worker", "engine", "precision", "models", "seen", "probe"), map(_worker_row, report.workers))
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


def _check_row(check: Check) -> tuple[str, ...]:
    seconds = "" if check.seconds is None else f"{check.seconds:.3f}"
    return check.name, check.status, seconds, check.detail, "" if check.passed else _advice(check.name)


def _advice(name: str) -> str:
    return next((text for words, text in ADVICE if any(word in name.lower() for word in words)), OTHERWISE)


def _worker_row(worker: Worker) -> tuple[str, ...]:
    models = " ".join(map(str, worker.models))
    probe = pairs(worker.probe or {})
    return worker.name, worker.engine or "", worker.precision or "", models, when(worker.seen_at), probe
