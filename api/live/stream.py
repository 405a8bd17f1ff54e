"""What one stream says, from its first message to its last, in whatever frames it is sent."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from api.live.hub import Hub, Reader
from api.live.topic import Words
from pipeline.job import Job

#: A stream that lasts longer is cut, without `end`: its client comes back and shows its token again.
STREAM_SECONDS: Final = 900.0

Kind = Literal["job.changed", "job.progressed", "batch.changed", "end"]


@dataclass(frozen=True, slots=True)
class Note:
    """One message of a stream.

    Args:
        type: What it is.
        data: JSON: a job, how far one is, a batch, or nothing.
        id: What the client has seen by then: the sum of the revisions of all its jobs, so of one job its `rev`.
            Revisions only grow, so the same sum over the same jobs means the same revisions. None changes nothing.
    """

    type: Kind
    data: str
    id: int | None = None


def seen(jobs: Sequence[Job]) -> int:
    """The id of the last message for a client that knows *jobs* as they stand."""
    return sum(job.rev for job in jobs)


async def follow(
    hub: Hub, jobs: Sequence[Job], *, after: int | None = None, seconds: float = STREAM_SECONDS
) -> AsyncGenerator[Note]:
    """Tell of *jobs*, which the caller has read just now, until all have ended.

    Args:
        hub: Where their news come from.
        jobs: At least one; each once.
        after: Id of the last message that the client has; where it has missed nothing there is no snapshot.
        seconds: The longest that a stream may last.
    """
    now = asyncio.get_running_loop().time
    last = now() + seconds
    with hub.reading(jobs) as reader:
        told = {job.id: Words(job.rev, "") for job in jobs} if after == seen(jobs) else {}
        for job in jobs:
            if job.id not in told:
                reader.mailbox.changed(job.id)
        while now() < last:
            for note in await _news(reader, told, now()):
                yield note
            if all(topic.over and told[job_id].rev == topic.job.rev for job_id, topic in reader.topics.items()):
                yield Note("end", "{}")
                return
            await reader.wait(min(last, reader.due()))


async def _news(reader: Reader, told: dict[str, Words], now: float) -> list[Note]:
    """What there is to say; *told* is what was said last of each job."""
    for topic in reader.topics.values():
        if topic.due() <= now:
            await topic.refresh(now)
    post, notes = reader.mailbox.take(), []
    for job_id in post.changed:
        words = await reader.topics[job_id].words()
        if words is not told.get(job_id):
            told[job_id] = words
            notes.append(Note("job.changed", words.text, sum(words.rev for words in told.values())))
    return notes + [Note("job.progressed", reader.topics[job_id].progress) for job_id in post.progressed]
