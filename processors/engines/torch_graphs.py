"""Recorded runs of a network, one per shape: a replay launches hundreds of kernels at once, where a CPU would lag."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Final, TypeAlias

import torch  # noqa: TID253 - whoever imports this wants torch

#: From samples and the mask of valid pixels (or None) to features.
Function: TypeAlias = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
Record: TypeAlias = Callable[[Function, torch.Tensor, torch.Tensor | None], Function]

Pool: TypeAlias = Any  # torch's handle of memory that graphs share

_CAPACITY: Final = 8


class Graphs:
    """Keeps the shapes that were seen last. What is returned is valid until the next run.

    A shape that is seen for the first time runs as it is; the second time it is recorded, which takes two more runs.
    """

    def __init__(self, record: Record, *, capacity: int = _CAPACITY) -> None:
        self._record = record
        self._capacity = capacity
        self._replays: OrderedDict[Hashable, Function | None] = OrderedDict()

    def run(self, key: Hashable, function: Function, samples: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
        """Run *function*, which *key* and the shapes of its arguments stand for."""
        key = (key, samples.shape, samples.dtype, valid is None)
        replay = self._replays.get(key)
        if replay is None and key in self._replays:
            replay = self._record(function, samples, valid)
        self._replays[key] = replay
        self._replays.move_to_end(key)
        while len(self._replays) > self._capacity:
            self._replays.popitem(last=False)
        return (replay or function)(samples, valid)

    def clear(self) -> None:
        """Forget all, and give their memory back."""
        self._replays.clear()


def recorder() -> Record:
    """Return what records CUDA graphs. They share memory, because one runs at a time and its result is used at once."""
    return partial(_record, torch.cuda.graph_pool_handle())


def _record(pool: Pool, function: Function, samples: torch.Tensor, valid: torch.Tensor | None) -> Function:
    held = samples.clone(), None if valid is None else valid.clone()
    torch.backends.cudnn.benchmark = True  # the shape comes again: worth the search for its fastest kernels
    try:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            function(*held)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            features = function(*held)
    finally:
        torch.backends.cudnn.benchmark = False

    def replay(samples: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
        held[0].copy_(samples)
        if held[1] is not None and valid is not None:
            held[1].copy_(valid)
        graph.replay()
        return features

    return replay
