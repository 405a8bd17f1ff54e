"""A command line in a folder, against a service whose bucket makes jobs, in a time that nobody waits for."""

from collections.abc import Callable, Iterator
from pathlib import Path

from typer.testing import CliRunner, Result

from enlarger.command.app import app
from enlarger.command.session import Session
from tests.unit.fake_bucket import FakeBucket
from tests.unit.fake_service import API, TOKEN, FakeTime

ENVIRON = {"ENLARGER_URL": API, "ENLARGER_TOKEN": TOKEN}
PLACE = "s3://uploads/trip/@x4/"
#: Where the pictures of the folder go.
BOTH = ["trip/@x4/a.jpg", "trip/@x4/day 2/b.JPG"]
#: What files are stamped with when the clock stands at 0.
EPOCH = 1_700_000_000.0
#: Does something to the folder, and says what the system would tell of it.
Step = Callable[[], set[Path]]


class Shell:
    """A folder, a service whose bucket makes jobs, and a time that nobody waits for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service = FakeBucket()
        self.time = FakeTime()

    def __call__(self, *args: str, steps: tuple[Step, ...] = ()) -> Result:
        def changes(_: Path) -> Iterator[set[Path]]:
            for step in steps:
                yield step()
                self.time.now += 1

        def wall() -> float:
            return EPOCH + self.time.now

        clock = self.time.clock()
        session = Session(
            ENVIRON, self.folder, lambda _url, _token: self.service.client(self.time), clock, wall, changes
        )
        return CliRunner().invoke(app, args, obj=session, catch_exceptions=False)

    def sync(self, *args: str, folder: str = "trip", place: str = PLACE) -> Result:
        return self("sync", folder, place, *args)

    def watch(self, *steps: Step, args: tuple[str, ...] = ("--back", "out"), ticks: int = 12) -> Result:
        """Watch while one step after the other is made, a second each, and for *ticks* seconds more."""
        return self("watch", "trip", PLACE, *args, steps=(*steps, *[set] * ticks))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def puts(shell: Shell, name: str) -> list[bytes]:
    return [one.content for one in shell.service.asked("PUT", name)]
