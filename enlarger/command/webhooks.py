"""`enlarger webhooks`: endpoints that hear of your jobs, what was sent to them, and sending it again."""

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from enlarger.command import completing
from enlarger.command.session import AsJson, connected
from enlarger.command.show import as_sent, print_json, print_line, print_table, when
from enlarger.webhook_models import Delivery, Webhook

HEADS = ("webhook", "status", "reason", "url", "events")
DELIVERY_HEADS = ("delivery", "made", "event", "job", "status", "tries", "last answer")
Id = Annotated[str, typer.Argument(metavar="WEBHOOK", autocompletion=completing.webhooks)]


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("should be a time such as 2026-11-01T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Since = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="All that failed from then on.")]
Until = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="And before then.")]


def ls(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List your endpoints."""
    with connected(ctx) as client:
        found = client.webhooks()
    if as_json:
        print_json({"items": [as_sent(webhook) for webhook in found]})
    else:
        print_table(HEADS, map(_row, found))


def add(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL")],
    *,
    event: Annotated[list[str] | None, typer.Option(help="Such as job.succeeded; may be given again.")] = None,
    description: Annotated[str, typer.Option(help="What you call it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Register an endpoint and print its secret, which is told this once."""
    with connected(ctx) as client:
        _print(client.add_webhook(url, events=event, description=description), as_json=as_json)


def rotate(
    ctx: typer.Context,
    webhook_id: Id,
    *,
    keep: Annotated[int, typer.Option(min=0, max=604_800, help="Seconds for which the old secret signs too.")] = 86_400,
    as_json: AsJson = False,
) -> None:
    """Print a new secret."""
    with connected(ctx) as client:
        _print(client.rotate_webhook(webhook_id, keep_seconds=keep), as_json=as_json)


def pause(ctx: typer.Context, webhook_id: Id, *, as_json: AsJson = False) -> None:
    """Hold back what is due until the endpoint is resumed."""
    with connected(ctx) as client:
        _print(client.change_webhook(webhook_id, status="paused"), as_json=as_json)


def resume(ctx: typer.Context, webhook_id: Id, *, as_json: AsJson = False) -> None:
    """End a pause, or switch on again what was disabled."""
    with connected(ctx) as client:
        _print(client.change_webhook(webhook_id, status="active"), as_json=as_json)


def rm(ctx: typer.Context, webhook_id: Id, *, as_json: AsJson = False) -> None:
    """Delete an endpoint."""
    with connected(ctx) as client:
        client.delete_webhook(webhook_id)
    if as_json:
        print_json({"deleted": webhook_id})


def ping(ctx: typer.Context, webhook_id: Id, *, as_json: AsJson = False) -> None:
    """Send a test message and tell what the receiver answered; exit code 1 where it did not take it."""
    with connected(ctx) as client:
        delivery = client.ping_webhook(webhook_id)
    _print_deliveries([delivery], as_json=as_json)
    if delivery.status != "delivered":
        raise typer.Exit(1)


def deliveries(
    ctx: typer.Context,
    webhook_id: Id,
    *,
    status: Annotated[str | None, typer.Option(help="pending, held, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what was sent to an endpoint, newest first."""
    with connected(ctx) as client:
        found = list(islice(client.deliveries(webhook_id, status=status), limit))
    _print_deliveries(found, as_json=as_json)


def replay(
    ctx: typer.Context,
    webhook_id: Id,
    delivery_ids: Annotated[list[str] | None, typer.Argument(metavar="DELIVERY")] = None,
    *,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Send deliveries again: those that are named, or all that failed since a time."""
    if bool(delivery_ids) == bool(since):
        raise typer.BadParameter("name deliveries, or give --since")
    with connected(ctx) as client:
        if since is None:
            count = len([client.replay_delivery(webhook_id, id_) for id_ in delivery_ids or ()])
        else:
            count = client.replay_deliveries(webhook_id, since, until)
    if as_json:
        print_json({"replayed": count})
    else:
        print_line(f"{count} sent again")


def _print(webhook: Webhook, *, as_json: bool) -> None:
    if as_json:
        print_json(as_sent(webhook))
        return
    print_table(HEADS, [_row(webhook)])
    if webhook.secret is not None:
        print_line(f"secret: {webhook.secret}")


def _print_deliveries(found: list[Delivery], *, as_json: bool) -> None:
    if as_json:
        print_json({"items": [as_sent(delivery) for delivery in found]})
    else:
        print_table(DELIVERY_HEADS, map(_delivery_row, found))


def _row(webhook: Webhook) -> tuple[str, ...]:
    return webhook.id, webhook.status, webhook.status_reason or "", webhook.url, ", ".join(webhook.events)


def _delivery_row(delivery: Delivery) -> tuple[str, ...]:
    last = delivery.attempts[-1] if delivery.attempts else None
    answer = "" if last is None else last.error or str(last.status_code)
    told = (delivery.id, when(delivery.created_at), delivery.type, delivery.job_id or "", delivery.status)
    return *told, str(len(delivery.attempts)), answer
