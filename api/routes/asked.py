"""What the path of a request names."""

from starlette.requests import Request

from api.jobs import find
from api.services import Services
from pipeline.job import Job


async def asked_job(request: Request[Services]) -> Job:
    """The caller's job; raises `job_not_found` for anybody else's too."""
    return await find(request.state["documents"].jobs, request.user.owner, request.path_params["job_id"])
