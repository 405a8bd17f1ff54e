"""Hear of a job over server-sent events, for as long as that works: who calls looks at the job wherever it does not."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final

import httpx2
from pydantic import ValidationError

from enlarger.models import Job, Progress
from enlarger.network import Stream
from enlarger.retries import NEVER_SENT, Clock

#: The service says something at least this often, be it only that it is there.
HEARTBEAT_SECONDS: Final = 15.0
#: So long a connection may be silent, and so long a stream must be of use for to be opened.
SILENCE_SECONDS: Final = HEARTBEAT_SECONDS + 5
_TIMEOUT: Final = httpx2.Timeout(connect=10.0, read=SILENCE_SECONDS, write=10.0, pool=1.0)

#: Opens a stream: path, headers, time-outs.
Open = Callable[[str, Mapping[str, str], httpx2.Timeout], AbstractAsyncContextManager[Stream]]


class Listener:
    """The live stream of one job, opened as often as it is cut.

    Args:
        open_: Opens a stream.
        path: Where the stream is.
        clock: Where time comes from.
    """

    def __init__(self, open_: Open, path: str, clock: Clock) -> None:
        self._open = open_
        self._path = path
        self._clock = clock
        self._useful = True

    async def jobs(self, known: Job | None, deadline: float) -> AsyncGenerator[Job, None]:
        """Yield the job whenever there is news behind what is *known*, and at every heartbeat.

        That goes on until the stream is cut, has ended, or *deadline* comes near.
        Nothing comes where the service has no streams, refuses one, or something on the way does not let them through:
        then none is opened again.
        """
        if not self._useful or self._clock.now() > deadline - SILENCE_SECONDS:
            return
        headers = {"accept": "text/event-stream"} | ({"last-event-id": str(known.rev)} if known else {})
        try:
            async with self._open(self._path, headers, _TIMEOUT) as stream:
                self._useful = False
                if stream.response.status_code == httpx2.codes.OK:
                    async with aclosing(self._heard(stream, known, deadline)) as heard:
                        async for job in heard:
                            yield job
        except NEVER_SENT:
            return  # who looks at the job meanwhile finds out whether the service is there
        except httpx2.TimeoutException:
            self._useful = False
        except (httpx2.RequestError, ValidationError):
            return

    async def _heard(self, stream: Stream, job: Job | None, deadline: float) -> AsyncGenerator[Job, None]:
        async for event in stream.events():
            self._useful = True  # a heartbeat says so too
            job = _after(event, job)
            if job is not None:
                yield job  # at a heartbeat as well, so that who waits can stop waiting
            if self._clock.now() > deadline - SILENCE_SECONDS:
                return


def _after(event: httpx2.ServerSentEvent, job: Job | None) -> Job | None:
    """The job as it is known after *event*."""
    if event.event == "job.changed":
        return Job.model_validate_json(event.data)
    if event.event == "job.progressed" and job is not None:
        return job.model_copy(update={"progress": Progress.model_validate_json(event.data)})
    return job
