"""`enlarger lanes`: what waits in each, and pauses that end by themselves."""

from typing import Annotated

import typer

from enlarger.admin_models import Lane
from enlarger.command import completing
from enlarger.command.session import AsJson, connected
from enlarger.command.show import as_sent, print_json, print_table, when

HEADS = ("lane", "pending", "in work", "stands still", "paused until", "by", "reason")
Name = Annotated[str, typer.Argument(metavar="LANE", help="interactive or bulk.", autocompletion=completing.lanes)]


def ls(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List the lanes: what waits, what is paused, what stands still."""
    with connected(ctx) as client:
        lanes = client.lanes()
    if as_json:
        print_json({"items": [as_sent(lane) for lane in lanes]})
    else:
        print_table(HEADS, map(_row, lanes))


def pause(
    ctx: typer.Context,
    lane: Name,
    *,
    seconds: Annotated[int, typer.Option(min=1, max=86_400, help="It ends by itself after so long.")],
    reason: Annotated[str, typer.Option(help="Shown to whoever waits.")],
    as_json: AsJson = False,
) -> None:
    """Let no work of a lane begin; what has begun goes on. The pause ends by itself."""
    with connected(ctx) as client:
        _print(client.pause_lane(lane, seconds=seconds, reason=reason), as_json=as_json)


def resume(ctx: typer.Context, lane: Name, *, as_json: AsJson = False) -> None:
    """End a pause now."""
    with connected(ctx) as client:
        _print(client.resume_lane(lane), as_json=as_json)


def _print(lane: Lane, *, as_json: bool) -> None:
    if as_json:
        print_json(as_sent(lane))
    else:
        print_table(HEADS, [_row(lane)])


def _row(lane: Lane) -> tuple[str, ...]:
    still = f"for {lane.stalled_seconds:.0f} s" if lane.stalled_seconds is not None else ""
    paused = (when(lane.paused_until), lane.paused_by or "", lane.reason or "")
    return lane.lane, str(lane.pending), str(lane.in_work), still, *paused
