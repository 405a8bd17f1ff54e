"""How tiles reach a device and results come back. On CUDA, copies run beside the computation, from pinned memory."""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - whoever imports this wants torch

from processors.engines import DEPTH
from processors.picture import Pixels

OnStep: TypeAlias = Callable[[float], None]
Handle: TypeAlias = Any  # a stream or an event: torch does not type them


class Answer(NamedTuple):
    """What work leaves on the device: (N, H, W, 3) uint8 or int16, and a boolean: all were finite numbers."""

    pixels: torch.Tensor
    finite: torch.Tensor


#: From (N, H, W, 3) uint8 or int16 (the bits of uint16) on the device to an answer; yields the share done.
Work: TypeAlias = Callable[[torch.Tensor], Generator[float, None, Answer]]


class Run(Protocol):
    """One batch on its way. May be started again, with other work on the same tiles, after it was waited for."""

    def start(self, work: Work) -> None:
        """Begin."""

    def wait(self, on_step: OnStep) -> tuple[Pixels, bool]:
        """Return the result, for the caller to keep, and whether all of it were finite numbers."""


class Lane(Protocol):
    """Takes the batches of one engine, `DEPTH` of them at a time."""

    def load(self, tiles: Pixels) -> Run:
        """Take (N, H, W, 3) uint8 or uint16 tiles, which stay as they are until the run is over."""


def signed(pixels: Pixels) -> npt.NDArray[np.uint8 | np.int16]:
    """Call uint16 int16 without a change: torch computes little with the former."""
    packed = np.require(pixels, requirements=["C", "W"])  # torch warns of memory that it could write to by mistake
    return packed.view(np.int16) if packed.dtype == np.uint16 else packed.astype(np.uint8, copy=False)


def unsigned(samples: npt.NDArray[Any]) -> Pixels:
    """The reverse of `signed`."""
    return samples.view(np.uint16) if samples.dtype == np.int16 else samples


class HostLane:
    """The processor: work is done when it is waited for."""

    def load(self, tiles: Pixels) -> Run:
        """Copies nothing."""
        return _HostRun(torch.from_numpy(signed(tiles)))


@dataclass(slots=True)
class _HostRun:
    samples: torch.Tensor
    steps: Generator[float, None, Answer] | None = None

    def start(self, work: Work) -> None:
        self.steps = work(self.samples)

    def wait(self, on_step: OnStep) -> tuple[Pixels, bool]:
        while self.steps:
            try:
                on_step(next(self.steps))
            except StopIteration as stopped:
                answer: Answer = stopped.value
                return unsigned(answer.pixels.numpy()), bool(answer.finite)
        raise RuntimeError("it was not started")


class Streams(Protocol):
    """The part of `torch.cuda` that copies and waits."""

    def stream(self, stream: Handle) -> AbstractContextManager[None]: ...  # noqa: D102
    def current_stream(self) -> Handle: ...  # noqa: D102
    def Stream(self) -> Handle: ...  # noqa: D102, N802
    def Event(self) -> Handle: ...  # noqa: D102, N802


@dataclass(slots=True)
class _Slot:
    """The memory of one batch in flight; grows, and is used again."""

    device: torch.device
    pinned: bool
    _held: dict[str, torch.Tensor] = field(default_factory=dict)

    def like(self, name: str, samples: torch.Tensor) -> torch.Tensor:
        """Return memory for a copy of *samples*: on the host, in `up` and `down`, or `there`."""
        held, size = self._held.get(name), samples.numel() * samples.element_size()
        if held is None or held.numel() < size:
            self._held.pop(name, None)
            held = self._held[name] = (
                torch.empty(size, dtype=torch.uint8, device=self.device)
                if name == "there"
                else torch.empty(size, dtype=torch.uint8, pin_memory=self.pinned)
            )
        return held[:size].view(samples.dtype).view(samples.shape)


class CudaLane:
    """A CUDA device: work is queued at once, and copied to and fro while other work runs.

    Copies up and down have a stream each: in one, the tiles of the next batch would wait for the result of this one,
    and the device would idle meanwhile.
    """

    def __init__(self, device: torch.device, streams: Streams = torch.cuda, *, pinned: bool = True) -> None:
        self.streams = streams
        self.up, self.down = streams.Stream(), streams.Stream()
        #: The next batch takes the first. Batches end in the order they started, so its last user is over by then.
        self.slots = deque(_Slot(device, pinned) for _ in range(DEPTH))

    def load(self, tiles: Pixels) -> Run:
        """Start the copy of *tiles* to the device, from pinned memory."""
        slot = self.slots[0]
        samples = torch.from_numpy(signed(tiles))
        pinned = slot.like("up", samples).copy_(samples)
        arrived = self.streams.Event()
        with self.streams.stream(self.up):
            # made for this stream: a block of another's could still be read by what is queued there
            there = slot.like("there", samples)
            there.copy_(pinned, non_blocking=True)
            arrived.record()
        return _CudaRun(self, slot, there, arrived)


@dataclass(slots=True)
class _CudaRun:
    lane: CudaLane
    slot: _Slot
    samples: torch.Tensor
    arrived: Handle
    marks: list[tuple[float, Handle]] = field(default_factory=list)
    answer: Answer | None = None
    here: torch.Tensor | None = None
    finite: torch.Tensor | None = None
    left: Handle = None

    def start(self, work: Work) -> None:
        self.lane.streams.current_stream().wait_event(self.arrived)
        self.marks.clear()
        self.answer = self._queued(work)
        self.lane.down.wait_event(self._mark(1.0))
        self.here = self.slot.like("down", self.answer.pixels)
        self.finite = self.slot.like("finite", self.answer.finite)
        with self.lane.streams.stream(self.lane.down):
            self.here.copy_(self.answer.pixels, non_blocking=True)
            self.finite.copy_(self.answer.finite, non_blocking=True)
            left = self.lane.streams.Event()
            left.record()
        if self.left is None:
            self.lane.slots.rotate(-1)  # now, and once: a batch that found no memory, or runs again, takes no turn
        self.left = left

    def _queued(self, work: Work) -> Answer:
        steps = work(self.samples)
        while True:
            try:
                self._mark(next(steps))
            except StopIteration as stopped:
                answer: Answer = stopped.value
                return answer

    def _mark(self, share: float) -> Handle:
        event = self.lane.streams.Event()
        event.record()
        self.marks.append((share, event))
        return event

    def wait(self, on_step: OnStep) -> tuple[Pixels, bool]:
        if self.here is None or self.finite is None:
            raise RuntimeError("it was not started")
        try:
            for share, event in self.marks:
                event.synchronize()
                on_step(share)
        finally:
            self.left.synchronize()  # the slot is used again, whatever happened
        return unsigned(self.here.numpy().copy()), bool(self.finite)
