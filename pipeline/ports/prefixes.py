"""Presets that hold for all keys below a folder of the uploads bucket, or for all jobs of an owner."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Binding:
    """A preset of an owner's; *prefix* ends with `/`, and is empty where it holds for all of their jobs."""

    owner: str
    prefix: str
    preset: str


class PrefixStore(Protocol):
    """One preset per owner and prefix. Raises `PipelineError` `storage_unavailable` as every store."""

    async def bind(self, binding: Binding) -> None:
        """Keep it in place of the one that its owner and prefix have."""

    async def unbind(self, owner: str, prefix: str) -> bool:
        """Drop it; False when there is none."""

    async def bindings(self) -> list[Binding]:
        """Every one, by owner and prefix."""

    async def nearest(self, owner: str, key: str) -> Binding | None:
        """The one with the longest prefix of *key*."""


def prefixes_of(key: str) -> list[str]:
    """Every prefix that can be bound above *key*, the empty one first."""
    folders = key.split("/")[:-1]
    return ["", *accumulate(f"{folder}/" for folder in folders)]
