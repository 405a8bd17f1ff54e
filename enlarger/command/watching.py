"""Pictures of a folder go up as they land, and their outputs come back. Prints nothing."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from enlarger.client import Client
from enlarger.command import mirror
from enlarger.command.crew import Crew
from enlarger.command.following import Follower
from enlarger.command.landing import Landing
from enlarger.command.mirror import Item
from enlarger.command.places import Place
from enlarger.errors import EnlargerError
from enlarger.models import Job
from enlarger.retries import Clock

#: What happened to a picture; `later`: it could not be done now, and is tried again.
Event = Literal["sent", "fetched", "failed", "later"]
#: Not the picture's fault, nor a mistake of whoever runs this.
PASSING: Final = frozenset({"file_changed", "upload_refused", "download_refused", "output_corrupt", "file_unusable"})
_BUSY: Final = 429


@dataclass(slots=True)
class Watcher:
    """Takes up what lands, one tick after the other.

    Args:
        client: Asks the service.
        place: The folder, the prefix and where outputs come back to.
        landing: Knows what is whole.
        crew: Moves files.
        clock: Where time comes from.
        known: The newest job of each key below the prefix, as far as we know.
        tell: Called with what happened to which picture.
    """

    client: Client
    place: Place
    landing: Landing
    crew: Crew
    clock: Clock
    known: dict[str, Job]
    tell: Callable[[Event, Item], None]
    _sent: dict[str, Item] = field(default_factory=dict)
    _follower: Follower = field(init=False)

    def __post_init__(self) -> None:
        """Follow jobs for as long as it takes: a service that is away comes back."""
        prefix, clock = self.place.prefix, self.clock
        self._follower = Follower(self.client, prefix, clock, seen=self.known, away_seconds=math.inf)

    def tick(self, changed: set[Path]) -> None:
        """Send what is whole, look at the jobs of what was sent, and fetch what came of them.

        Raises:
            EnlargerError: The service does not let us in (any more).
        """
        fresh: list[Item] = []
        there: list[Item] = []
        for photo in self.landing.whole(changed):
            item = mirror.compared(self.place, photo, self.known)
            if item.error is not None:
                self._settle(item)
            else:
                (fresh if item.job is None else there).append(item)
        self._send(fresh)
        for item in there:
            self._await(item)
        ended = [mirror.told(self._sent.pop(key), news) for key, news in list(self._follower.look())]
        self._fetch([*ended, *(item for item in there if item.job is not None and item.job.terminal)])

    def _send(self, items: list[Item]) -> None:
        for group in mirror.signed(self.client, items):
            send = partial(mirror.send, self.client)
            work = [
                self.crew.start(item.photo, "upload", partial(send, item, put))
                for item, put in group
                if put is not None
            ]
            for item in (*(future.result() for future in work), *(item for item, put in group if put is None)):
                if item.error is None:
                    self.tell("sent", item)
                    self._await(item)
                else:
                    self._settle(item)

    def _await(self, item: Item) -> None:
        if item.job is not None and item.job.terminal:
            return
        self._follower.add(item, self.known)
        self._sent[item.key] = item
        self.landing.done(item.photo)

    def _fetch(self, items: list[Item]) -> None:
        wanted = [item for item in items if item.error is None and self.place.back is not None]
        fetch = partial(mirror.fetch, self.client, self.place)
        work = [self.crew.start(item.photo, "download", partial(fetch, item)) for item in wanted]
        for item in (*(item for item in items if item.error is not None), *(future.result() for future in work)):
            self._settle(item)
        for item in items if self.place.back is None else ():
            self.landing.done(item.photo)

    def _settle(self, item: Item) -> None:
        """Be done with a picture, or have it come again where what went wrong may pass."""
        error = item.error
        if error is None:
            self.landing.done(item.photo)
            if item.fetched:
                self.tell("fetched", item)
        elif error.status in {401, 403} and error.code not in PASSING:
            raise error
        elif _passing(error) and (item.job is None or item.job.status == "succeeded"):
            if self.landing.again(item.photo):
                self.tell("later", item)
        else:
            self.landing.done(item.photo)
            self.tell("failed", item)


def _passing(error: EnlargerError) -> bool:
    """Whether another try can help: nobody answered, somebody is busy or broken, or the file is being written."""
    busy = error.status is not None and (error.status >= 500 or error.status == _BUSY)
    return busy or error.code in {*PASSING, "service_unreachable"}
