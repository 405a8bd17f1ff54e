"""Pictures that land in a folder: what the system tells of them, and when each is whole. Prints nothing."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Final

from enlarger.command.places import Place
from enlarger.errors import EnlargerError
from enlarger.retries import Clock

#: A file that nobody has written to for so long is whole.
SETTLE_SECONDS: Final = 2.0
#: How often the whole folder is looked through: file systems of other machines, and full queues, tell of nothing.
SCAN_SECONDS: Final = 60.0
#: How often we look whether something is whole, or has ended, while nothing happens.
TICK_MS: Final = 1000
#: Between tries of what could not be done just now: doubled each time, up to the second.
RETRY_SECONDS: Final = 2.0
LONGEST_RETRY_SECONDS: Final = 60.0

#: Size in bytes and time of change in nanoseconds.
State = tuple[int, int]


def changes(folder: Path) -> Iterator[set[Path]]:
    """What has changed in *folder*, from the first step on, and every second nothing where there was nothing.

    Raises:
        EnlargerError: `file_unusable`: the system cannot watch the folder.
    """
    from watchfiles import Change, watch

    try:
        for found in watch(folder, watch_filter=None, step=100, rust_timeout=TICK_MS, yield_on_timeout=True):
            yield {Path(path) for change, path in found if change is not Change.deleted}
    except (OSError, RuntimeError) as error:  # of its native part
        hint = "On Linux, raise fs.inotify.max_user_watches, or set WATCHFILES_FORCE_POLLING=1."
        raise EnlargerError(f"{folder} cannot be watched: {error}", code="file_unusable", hint=hint) from error


@dataclass(slots=True)
class _Look:
    """What a file was like when it was looked at last, since when, and when to take it up again."""

    state: State | None
    since: float
    tries: int = 0
    due: float = 0.0


@dataclass(slots=True)
class Landing:
    """The pictures of a folder that are still to be taken up.

    Args:
        place: The folder.
        clock: Time that only grows.
        wall: The time that files are stamped with, in seconds since 1970.
    """

    place: Place
    clock: Clock
    wall: Callable[[], float] = time.time
    _waiting: dict[Path, _Look] = field(default_factory=dict)
    _taken: dict[Path, State] = field(default_factory=dict)
    _scan_due: float = float("-inf")

    def whole(self, changed: set[Path]) -> list[Path]:
        """The pictures that are whole by now and that nobody took up as they are; *changed* are told of just now."""
        if self.clock.now() >= self._scan_due:
            self._scan_due = self.clock.now() + SCAN_SECONDS
            self._expect(self.place.folder)
        for path in changed:
            self._expect(path)
        return sorted(path for path in list(self._waiting) if self._is_whole(path))

    def again(self, picture: Path) -> bool:
        """Have *picture* come again although it was taken up; False where that was so before."""
        look = self._waiting.setdefault(picture, _Look(self._taken.pop(picture, None), self.clock.now()))
        look.due = self.clock.now() + min(LONGEST_RETRY_SECONDS, RETRY_SECONDS * 2.0**look.tries)
        look.tries += 1
        return look.tries == 1

    def done(self, picture: Path) -> None:
        """Nothing is left to do for *picture* as it is."""
        self._waiting.pop(picture, None)

    def _expect(self, path: Path) -> None:
        """A file, or all in a folder: of one that was moved here the system tells nothing more."""
        pictures = self.place.pictures(path) if path.is_dir() else (path,)
        for picture in pictures:
            if self.place.holds(picture) and _state(picture) not in (None, self._taken.get(picture)):
                self._waiting.setdefault(picture, _Look(None, self.clock.now()))

    def _is_whole(self, picture: Path) -> bool:
        look, state, now = self._waiting[picture], _state(picture), self.clock.now()
        if state is None:  # it went away again
            del self._waiting[picture]
            return False
        if state != look.state:
            look.state, look.since = state, now
        size, changed_ns = state
        quiet_seconds = max(now - look.since, self.wall() - changed_ns / 1e9)  # renamed here, it is whole at once
        if not size or quiet_seconds < SETTLE_SECONDS or now < look.due:
            return False
        self._taken[picture] = state
        return True


def _state(path: Path) -> State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if S_ISREG(found.st_mode) else None
