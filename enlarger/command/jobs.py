"""`enlarger jobs`: list, show, explain, link, cancel and retry."""

from collections.abc import Callable
from itertools import islice
from typing import Annotated

import typer

from enlarger.client import Client
from enlarger.command import completing
from enlarger.command.session import AsJson, connected
from enlarger.command.show import as_sent, complain, print_json, print_line, print_story, print_table, when
from enlarger.errors import EnlargerError
from enlarger.models import Job, Metrics

JobId = Annotated[str, typer.Argument(metavar="JOB", autocompletion=completing.jobs)]


def ls(
    ctx: typer.Context,
    *,
    status: Annotated[
        str | None, typer.Option(help="Only jobs of this status, such as failed.", autocompletion=completing.statuses)
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only jobs of this key in the uploads bucket.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Only jobs of keys that begin so, such as trip/@x4/.")] = None,
    batch: Annotated[str | None, typer.Option(help="Only jobs of this batch.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with connected(ctx) as client:
        jobs = list(islice(client.jobs(status=status, key=key, prefix=prefix, batch_id=batch), limit))
    if as_json:
        print_json({"items": [as_sent(job) for job in jobs]})
    else:
        rows = [(job.id, job.status, when(job.created_at), job.source.key) for job in jobs]
        print_table(("job", "status", "created", "key"), rows)


def show(
    ctx: typer.Context,
    job_id: JobId,
    *,
    as_json: AsJson = False,
) -> None:
    """Tell the story of one job."""
    with connected(ctx) as client:
        job = client.job(job_id)
        if as_json:
            print_json(as_sent(job))
        else:
            print_story(job, _measured(client, job))


def why(
    ctx: typer.Context,
    job_id: JobId,
    *,
    as_json: AsJson = False,
) -> None:
    """Tell in plain words what a job waits for, or how it ended, and what to do."""
    with connected(ctx) as client:
        told = client.why(job_id)
    if as_json:
        print_json(as_sent(told))
        return
    reason = f" ({told.status_reason})" if told.status_reason else ""
    print_line(f"{told.job_id} is {told.status.replace('_', ' ')}{reason}.")
    for line in filter(None, (told.detail, told.hint)):
        print_line(line)


def link(
    ctx: typer.Context,
    job_id: JobId,
    *,
    hours: Annotated[int, typer.Option(min=1, max=720, help="For how long it works.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Make an address of a result for anybody who has it, until its time is over."""
    with connected(ctx) as client:
        made = client.link(job_id, expires_seconds=hours * 3600)
    if as_json:
        print_json(as_sent(made))
    else:
        print_line(made.url)


def cancel(
    ctx: typer.Context,
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB", autocompletion=completing.open_jobs)],
    *,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs that have not passed their commit point."""
    _each(ctx, Client.cancel, job_ids, as_json=as_json)


def retry(
    ctx: typer.Context,
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB", autocompletion=completing.retryable_jobs)],
    *,
    as_json: AsJson = False,
) -> None:
    """Start a new run of jobs that failed, expired or were canceled."""
    _each(ctx, Client.retry, job_ids, as_json=as_json)


def _each(ctx: typer.Context, act: Callable[[Client, str], Job], job_ids: list[str], *, as_json: bool) -> None:
    """Do it to one job after the other, whether or not those before it could be done."""
    done: list[Job] = []
    with connected(ctx) as client:
        for job_id in job_ids:
            try:
                done.append(act(client, job_id))
            except EnlargerError as error:
                complain(error)
    if as_json:
        print_json({"items": [as_sent(job) for job in done]})
    elif done:
        print_table(("job", "status"), [(job.id, job.status) for job in done])
    if len(done) < len(job_ids):
        raise typer.Exit(1)


def _measured(client: Client, job: Job) -> Metrics | None:
    if job.status != "succeeded" and job.quality is None:  # the gate has measured what it fails, too
        return None
    try:
        return client.metrics(job.id)
    except EnlargerError:  # a job from before a service measured, or whose document has expired, is still a story
        return None
