"""Messages that nobody could read, as whoever runs the service sees them: list, send again, discard."""

from datetime import datetime
from typing import Final

from pydantic import ValidationError

from api.paging import paged
from pipeline.consumer import DeadLetter
from pipeline.errors import PipelineError
from pipeline.events import Message
from pipeline.ports.bus import Bus, Letter
from pipeline.wire import Wire

#: More digits than any place in a stream has.
_LONGEST_ID: Final = 18


class LetterOut(Wire):
    """One dead message: what it said, where, and why it could not be read.

    `subject` is null where nobody knows it; the body of a very long one is `cut`. Neither can be sent again.
    """

    id: str
    written_at: datetime
    subject: str | None
    error: str
    body: str
    cut: bool = False

    @classmethod
    def of(cls, letter: Letter) -> "LetterOut":
        """Show *letter*, also one that no version of us wrote."""
        id_, written_at = str(letter.sequence), letter.written_at
        try:
            told = DeadLetter.model_validate_json(letter.body)
        except ValidationError:
            error, body = "not a letter of ours", letter.body.decode(errors="replace")
            return cls(id=id_, written_at=written_at, subject=None, error=error, body=body)
        return cls(id=id_, written_at=written_at, subject=told.subject, error=told.error, body=told.body, cut=told.cut)


class LetterPage(Wire):
    """Dead messages, oldest first."""

    items: tuple[LetterOut, ...]
    next_cursor: str | None


async def page(bus: Bus, *, limit: int, after: int) -> LetterPage:
    """One page of what DEAD holds behind the place *after*."""
    found = await bus.letters(limit=limit + 1, after=after)
    shown, cursor = paged(tuple(map(LetterOut.of, found)), limit)
    return LetterPage(items=tuple(shown), next_cursor=cursor)


async def find(bus: Bus, id_: str) -> LetterOut:
    """The letter of this id; raises `letter_not_found`."""
    place = _place(id_)
    found = await bus.letters(limit=1, after=place - 1)
    if not found or found[0].sequence != place:
        raise _unknown()
    return LetterOut.of(found[0])


async def replay(bus: Bus, id_: str) -> LetterOut:
    """Publish the message again where it came from, then discard its letter.

    Repeated after a crash in between, it is published under the same message id, which the bus takes once.

    Raises:
        PipelineError: `letter_not_found`, or `letter_unreadable` for one that does not say all of what it was.
    """
    letter = await find(bus, id_)
    if letter.subject is None or letter.cut:
        hint = f"Read it with `enlarger dead show {letter.id}`, then discard it."
        raise PipelineError("The letter does not hold all of the message.", code="letter_unreadable", hint=hint)
    await bus.publish(Message(id=f"dead:{letter.id}", subject=letter.subject, body=letter.body))
    await bus.drop_letter(_place(id_))
    return letter


async def discard(bus: Bus, id_: str) -> None:
    """Take the letter out of DEAD; raises `letter_not_found`."""
    if not await bus.drop_letter(_place(id_)):
        raise _unknown()


def _place(id_: str) -> int:
    if not (id_.isascii() and id_.isdigit() and len(id_) <= _LONGEST_ID and int(id_)):
        raise _unknown()
    return int(id_)


def _unknown() -> PipelineError:
    hint = "GET /v1/admin/dead lists those that are there; one that was sent again or discarded is gone."
    return PipelineError("There is no such letter.", code="letter_not_found", hint=hint)
