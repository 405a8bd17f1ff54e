"""Progress bars on stderr: one line for each photograph under way. Nothing is drawn where no person looks."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from enlarger.command.errands import Watch
from enlarger.command.show import printable

#: Opens the line of one photograph; what it yields moves the bar.
Watching = Callable[[Path], AbstractContextManager[Watch]]


@contextmanager
def bars(console: Console, photos: int) -> Iterator[Watching]:
    """Draw on *console* how far *photos* photographs are."""
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[stage]}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    # stdout is for results: rich would send what is printed there to this console
    with Progress(*columns, console=console, disable=not console.is_terminal, redirect_stdout=False) as progress:
        everything = progress.add_task("all", total=photos, stage="", visible=photos > 1)

        @contextmanager
        def line(photo: Path) -> Iterator[Watch]:
            task = progress.add_task(printable(photo.name), total=1.0, stage="")
            try:
                yield lambda stage, share: progress.update(task, stage=stage, completed=share or 0.0)
            finally:
                progress.remove_task(task)
                progress.advance(everything)

        yield line
