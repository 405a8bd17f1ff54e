"""`enlarger jobs`: list, show and cancel."""

from itertools import islice
from typing import Annotated

import typer

from enlarger.client import Client
from enlarger.command.session import AsJson, connected
from enlarger.command.show import complain, print_json, print_story, print_table, when
from enlarger.errors import EnlargerError
from enlarger.models import Job, Metrics


def ls(
    ctx: typer.Context,
    *,
    status: Annotated[str | None, typer.Option(help="Only jobs of this status, such as failed.")] = None,
    key: Annotated[str | None, typer.Option(help="Only jobs of this key in the uploads bucket.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with connected(ctx) as client:
        jobs = list(islice(client.jobs(status=status, key=key), limit))
    if as_json:
        print_json({"items": [_wire(job) for job in jobs]})
    else:
        rows = [(job.id, job.status, when(job.created_at), job.source.key) for job in jobs]
        print_table(("job", "status", "created", "key"), rows)


def show(
    ctx: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="JOB")],
    *,
    as_json: AsJson = False,
) -> None:
    """Tell the story of one job."""
    with connected(ctx) as client:
        job = client.job(job_id)
        if as_json:
            print_json(_wire(job))
        else:
            print_story(job, _measured(client, job))


def cancel(
    ctx: typer.Context,
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB")],
    *,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs that have not passed their commit point."""
    canceled: list[Job] = []
    with connected(ctx) as client:
        for job_id in job_ids:
            try:
                canceled.append(client.cancel(job_id))
            except EnlargerError as error:
                complain(error)
    if as_json:
        print_json({"items": [_wire(job) for job in canceled]})
    else:
        print_table(("job", "status"), [(job.id, job.status) for job in canceled])
    if len(canceled) < len(job_ids):
        raise typer.Exit(1)


def _wire(job: Job) -> dict[str, object]:
    """The job as the service sent it."""
    return job.model_dump(mode="json", exclude_unset=True)


def _measured(client: Client, job: Job) -> Metrics | None:
    if job.status != "succeeded":
        return None
    try:
        return client.metrics(job.id)
    except EnlargerError:  # a job from before a service measured, or whose document has expired, is still a story
        return None
