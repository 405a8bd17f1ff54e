"""Handlers of lanes, for whoever runs the service."""

from starlette.requests import Request
from starlette.responses import Response

from api.audit import noted
from api.exchange import answer, read_json
from api.lanes import LaneList, LaneOut, lane_named
from api.operations import operation
from api.requests import PauseRequest
from api.services import Services


@operation("List the lanes: what waits, what is paused, what stands still", answers={200: LaneList}, access="admin")
async def list_lanes(request: Request[Services]) -> Response:
    """`GET /v1/admin/lanes`."""
    return answer(await request.state["lanes"].survey())


@operation(
    "Pause a lane; the pause ends by itself",
    answers={200: LaneOut},
    access="admin",
    body=PauseRequest,
    refusals=("lane_not_found",),
)
async def pause_lane(request: Request[Services]) -> Response:
    """`POST /v1/admin/lanes/{lane}/pause`."""
    lane = lane_named(request.path_params["lane"])
    asked = await read_json(request, PauseRequest, {})
    noted(request, seconds=asked.seconds, reason=asked.reason)
    by = request.user.owner
    return answer(await request.state["lanes"].pause(lane, seconds=asked.seconds, reason=asked.reason, by=by))


@operation(
    "End a pause now; a lane that is not paused is left alone",
    answers={200: LaneOut},
    access="admin",
    refusals=("lane_not_found",),
)
async def resume_lane(request: Request[Services]) -> Response:
    """`POST /v1/admin/lanes/{lane}/resume`."""
    return answer(await request.state["lanes"].resume(lane_named(request.path_params["lane"])))
