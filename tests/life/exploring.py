"""Every schedule of a small world: what may happen next is tried in every order, until nothing new comes of it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipeline.job import Status
from pipeline.lease import LEASE_SECONDS
from tests.life.stand_ins import Actor
from tests.life.witness import Witness
from tests.life.world import World

#: What may happen next, and to whom: somebody goes on or dies, a message is handed out, time passes, the owner asks.
Choice = tuple[str, int]
Path = tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """So often each of these happens in one schedule, at any moment; time passes by more than a lease.

    With a put, a second version comes, and its notice is taken in from then on.

    What the owner asks for is done call by call like all else, or at once where *asks_at_once*.
    """

    workers: int = 2
    puts: int = 1
    deliveries: int = 2
    waits: int = 0
    deaths: int = 0
    cancels: int = 0
    retries: int = 0
    asks_at_once: bool = False


@dataclass(slots=True)
class Explorer:
    """Goes through all states that schedules lead to; one that was seen has the same future and is not entered again.

    Args:
        begin: Makes the world at its start, the same each time.
        bounds: Without them no schedule would end.
    """

    begin: Callable[[], World]
    bounds: Bounds
    seen: set[int] = field(default_factory=set)
    #: Schedules that ended, and steps taken, those included that lead back to a state.
    ends: int = 0
    steps: int = 0

    def explore(self) -> None:
        """Enter every state once and check it; let everything come to rest where nothing is left to choose."""
        open_: list[Path] = [()]
        while open_:
            path = open_.pop()
            world, witness = self._replayed(path)
            while (choices := self._entered(world, witness, path)) is not None:
                if not choices:
                    self.ends += 1
                    witness.settle()
                    break
                open_ += [(*path, other) for other in choices[1:]]
                self._take(world, choices[0])
                path = (*path, choices[0])
            world.end()

    def _replayed(self, path: Path) -> tuple[World, Witness]:
        """The world at the end of *path*, whose last step is seen; those before were, when they were new."""
        world = self.begin()
        witness = Witness(world)
        for choice in path[:-1]:
            self._take(world, choice)
        witness.check()
        for choice in path[-1:]:
            self._take(world, choice)
        return world, witness

    def _entered(self, world: World, witness: Witness, path: Path) -> list[Choice] | None:
        """What can be chosen in a state that is new; None where it is not."""
        try:
            witness.check()
        except AssertionError as error:
            error.add_note(f"after {path}")
            raise
        used = Counter(kind for kind, _ in path)
        state = hash((world.state(), *sorted((kind, count) for kind, count in used.items() if kind != "go_on")))
        if state in self.seen:
            return None
        self.seen.add(state)
        return [*self._choices(world, used)]

    def _choices(self, world: World, used: Counter[str]) -> Iterator[Choice]:
        workers = [position for position, actor in enumerate(world.actors) if actor.message is not None]
        bounds, jobs = self.bounds, world.jobs()
        yield from (("go_on", position) for position in range(len(world.actors)))
        if used["hand_out"] < bounds.deliveries and len(workers) < bounds.workers:
            yield from (("hand_out", position) for position in range(len(world.post.work)))
        if used["die"] < bounds.deaths:
            yield from (("die", position) for position in range(len(world.actors)))
        if used["put"] < bounds.puts:
            yield "put", 0
        if used["wait"] < bounds.waits and workers:
            yield "wait", 0
        if used["cancel"] < bounds.cancels:
            yield from (("cancel", position) for position, job in enumerate(jobs) if not job.terminal)
        if used["retry"] < bounds.retries:
            ended = [job.terminal and job.status is not Status.SUCCEEDED for job in jobs]
            yield from (("retry", position) for position, _ in enumerate(jobs) if ended[position])

    def _take(self, world: World, choice: Choice) -> None:
        self.steps += 1
        match choice:
            case "go_on", position:
                world.go_on(world.actors[position])
            case "die", position:
                world.die(world.actors[position])
            case "hand_out", position:
                world.hand_out(position)
            case "put", _:
                world.put(1)
                world.uploads_rest = True
                world.take_in(0)
            case "cancel", position:
                self._ask(world, world.cancel(world.jobs()[position]))
            case "retry", position:
                self._ask(world, world.retry(world.jobs()[position]))
            case _:
                world.wait(LEASE_SECONDS + 1)

    def _ask(self, world: World, owner: Actor) -> None:
        if self.bounds.asks_at_once:
            world.finish(owner)
