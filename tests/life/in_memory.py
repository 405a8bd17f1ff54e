"""A world on the memory stores, which can be copied while nobody is at work in it."""

from dataclasses import dataclass, field, replace
from functools import cache

from pipeline.adapters import memory
from pipeline.adapters.memory import MemoryJobs, MemorySources
from pipeline.adapters.memory_sweep import MemorySweep
from tests.life.world import World
from tests.making import finished


@dataclass(frozen=True, slots=True)
class Stores:
    """The memory stores that the life of a key is written to."""

    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    sources: MemorySources = field(default_factory=MemorySources)

    def world(self) -> World:
        """A world on these."""
        documents = replace(memory.documents(), jobs=self.jobs, sources=self.sources)
        return World(documents, MemorySweep(self.jobs, self.sources), finished)


def new_world() -> World:
    """Nothing has happened yet."""
    return Stores().world()


def one_version() -> World:
    """The first version is queued.

    A copy of a world that was made once: what is stored is frozen, so that new dictionaries make a new world.
    """
    first, stores = _first()
    copied = Stores()
    copied.jobs.jobs.update(stores.jobs.jobs)
    copied.jobs.outbox.update({id_: list(entries) for id_, entries in stores.jobs.outbox.items()})
    copied.sources.records.update(stores.sources.records)
    world = copied.world()
    world.begin_as(first)
    return world


@cache
def _first() -> tuple[World, Stores]:
    stores = Stores()
    world = stores.world()
    world.put(0)
    world.finish(world.take_in(0))
    return world, stores
