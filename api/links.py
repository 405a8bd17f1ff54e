"""Addresses of one output that work for anybody until they expire: signed, so that nothing is stored."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.outputs import output_of
from api.requests import whole
from api.signing import Signer
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.job import Job, Output
from pipeline.ports.documents import JobStore
from pipeline.ports.users import UserStore
from pipeline.topology import DAY_SECONDS
from pipeline.wire import Wire

AUDIENCE: Final = "enlarger-links"
TYPE: Final = "link+jwt"


class LinkRequest(BaseModel):
    """For how long a link works: a minute to thirty days, a day unless said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expires_seconds: Annotated[int, Field(strict=True, ge=60, le=30 * DAY_SECONDS), BeforeValidator(whole)] = (
        DAY_SECONDS
    )


class Link(Wire):
    """Who has *url* has the file, until *expires_at*."""

    url: str
    expires_at: datetime


class Links:
    """Makes them and follows them.

    Args:
        key: Signs them; 32 bytes or more.
        jobs: Whose outputs they lead to.
        users: Of whom one may be disabled, whose links are then none.
        clock: The present moment.
        public_url: Where clients reach this service.
    """

    def __init__(self, key: str, jobs: JobStore, users: UserStore, *, clock: Clock, public_url: str) -> None:
        self._signer = Signer(key, kind=TYPE, audience=AUDIENCE, claims=("sub", "etag"), clock=clock)
        self._jobs = jobs
        self._users = users
        self._clock = clock
        self._public_url = public_url.rstrip("/")

    def make(self, job: Job, seconds: int) -> Link:
        """A link to the output of *job* as it is now; raises `job_not_finished`."""
        expires_at = (self._clock() + timedelta(seconds=seconds)).replace(microsecond=0)
        token = self._signer.sign({"sub": job.id, "etag": output_of(job).etag}, until=expires_at)
        return Link(url=f"{self._public_url}/v1/links/{token}", expires_at=expires_at)

    async def follow(self, token: str) -> Output:
        """The output that *token* leads to.

        Raises:
            PipelineError: `link_not_found`, or `link_expired` where its time is over or its output is no more.
        """
        said = self._signer.read(token)
        if said is None:
            hint = "Take the address as it was given, to its last character."
            raise PipelineError("There is no such link.", code="link_not_found", hint=hint)
        if self._clock() >= said.expires_at:
            raise _expired("The time of this link is over.")
        return await self._output(said.claims)

    async def _output(self, claims: Mapping[str, Any]) -> Output:
        job = await self._jobs.get(str(claims["sub"]))
        there = job.outputs if job is not None else ()
        found = next((output for output in there if output.etag == claims["etag"]), None)
        if job is None or found is None:
            raise _expired("The output of this link is no more.")
        user = await self._users.get(job.owner)
        if user is not None and user.disabled:
            raise _expired("The account of whoever made this link is disabled.")
        return found


def _expired(detail: str) -> PipelineError:
    return PipelineError(detail, code="link_expired", hint="Ask whoever gave it to you for a new one.")
