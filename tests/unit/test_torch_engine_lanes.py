"""Copies beside the computation, and recorded runs: in which order, with stand-ins for the streams of a CUDA device."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from processors.engines.torch_graphs import Function, Graphs
from processors.engines.torch_lanes import Answer, CudaLane, HostLane, Lane, Run, Work, signed, unsigned
from processors.picture import Pixels


@dataclass
class Streams:
    """Streams that do everything at once, and write down what they would have waited for."""

    told: list[str] = field(default_factory=list)
    now: str = "compute"
    streams: int = 0
    events: int = 0

    def Stream(self) -> "FakeStream":  # noqa: N802
        self.streams += 1
        return FakeStream(self, "up" if self.streams == 1 else "down")

    def Event(self) -> "FakeEvent":  # noqa: N802
        self.events += 1
        return FakeEvent(self, self.events)

    def current_stream(self) -> "FakeStream":
        return FakeStream(self, self.now)

    @contextmanager
    def stream(self, stream: "FakeStream") -> Iterator[None]:
        self.now, before = stream.name, self.now
        yield
        self.now = before


@dataclass
class FakeStream:
    owner: Streams
    name: str

    def wait_event(self, event: "FakeEvent") -> None:
        self.owner.told.append(f"{self.name} waits for {event.number}")


@dataclass
class FakeEvent:
    owner: Streams
    number: int

    def record(self) -> None:
        self.owner.told.append(f"{self.number} on {self.owner.now}")

    def synchronize(self) -> None:
        self.owner.told.append(f"host waits for {self.number}")


def inverted(samples: torch.Tensor) -> Generator[float, None, Answer]:
    yield 0.5
    return Answer(~samples, torch.ones((), dtype=torch.bool))


def finished(run: Run, work: Work) -> Pixels:
    run.start(work)
    return run.wait(lambda _: None)[0]


def lanes() -> list[Lane]:
    return [HostLane(), CudaLane(torch.device("cpu"), Streams(), pinned=False)]


def tile(level: int, side: int = 2, dtype: type = np.uint8) -> Pixels:
    drawn: Pixels = np.full((1, side, side, 3), level, dtype)
    return drawn


@pytest.mark.parametrize("lane", lanes())
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_the_device_makes_of_tiles_comes_back_in_their_depth(lane: Lane, dtype: type) -> None:
    run = lane.load(tile(7, dtype=dtype))
    run.start(inverted)
    shares: list[float] = []
    pixels, finite = run.wait(shares.append)
    assert pixels.dtype == dtype
    assert np.array_equal(pixels, ~tile(7, dtype=dtype))
    assert finite
    assert shares[0] == 0.5


@pytest.mark.parametrize("lane", lanes())
def test_batches_in_flight_do_not_share_memory_nor_with_results(lane: Lane) -> None:
    results = []
    first = lane.load(tile(0, side=3))
    first.start(inverted)
    for level in range(1, 6):
        second = lane.load(tile(level, side=1 + level % 3))
        second.start(inverted)
        results.append(first.wait(lambda _: None)[0])
        first = second
    assert [int(pixels.max()) for pixels in results] == [255, 254, 253, 252, 251]
    assert [int(pixels.min()) for pixels in results] == [255, 254, 253, 252, 251]
    assert [pixels.shape[1] for pixels in results] == [3, 2, 3, 1, 2]


@pytest.mark.parametrize("lane", lanes())
def test_a_batch_may_be_run_again_beside_another_one(lane: Lane) -> None:
    def broken(samples: torch.Tensor) -> Generator[float, None, Answer]:
        yield 1.0
        return Answer(samples, torch.zeros((), dtype=torch.bool))

    run = lane.load(tile(9))
    run.start(broken)
    other = lane.load(tile(5))
    other.start(inverted)
    assert not run.wait(lambda _: None)[1]
    assert np.array_equal(finished(run, inverted), ~tile(9))
    assert np.array_equal(finished(lane.load(tile(7)), inverted), ~tile(7))
    assert np.array_equal(other.wait(lambda _: None)[0], ~tile(5))


@pytest.mark.parametrize("lane", lanes())
def test_a_batch_that_fails_to_start_takes_nobodys_memory(lane: Lane) -> None:
    def failing(_samples: torch.Tensor) -> Generator[float, None, Answer]:
        yield 0.0
        raise torch.OutOfMemoryError

    first = lane.load(tile(1))
    first.start(inverted)
    failed = lane.load(tile(2))
    with pytest.raises(torch.OutOfMemoryError):
        finished(failed, failing)
    third = lane.load(tile(3))
    third.start(inverted)
    assert [int(run.wait(lambda _: None)[0].max()) for run in (first, third)] == [254, 252]


@pytest.mark.parametrize("lane", lanes())
def test_a_run_that_was_not_started_has_no_result(lane: Lane) -> None:
    with pytest.raises(RuntimeError, match="not started"):
        lane.load(tile(1)).wait(lambda _: None)


def test_the_next_tiles_are_copied_up_while_this_result_is_on_its_way_down() -> None:
    streams = Streams()
    lane = CudaLane(torch.device("cpu"), streams, pinned=False)
    first = lane.load(tile(1))
    first.start(inverted)
    second = lane.load(tile(2))
    second.start(inverted)
    assert streams.told == [
        "1 on up",  # tiles are there
        "compute waits for 1",
        "2 on compute",  # half of the work
        "3 on compute",  # all of it
        "down waits for 3",
        "4 on down",
        "5 on up",  # behind nothing but the tiles before
        "compute waits for 5",
        "6 on compute",
        "7 on compute",
        "down waits for 7",
        "8 on down",
    ]


def test_a_batch_that_is_abandoned_has_left_its_memory_before_that_is_used_again() -> None:
    def stop(_share: float) -> None:
        raise KeyError

    streams = Streams()
    run = CudaLane(torch.device("cpu"), streams, pinned=False).load(tile(1))
    run.start(inverted)
    with pytest.raises(KeyError):
        run.wait(stop)
    assert streams.told[-2:] == ["host waits for 2", "host waits for 4"]


def test_every_level_of_sixteen_bits_survives_being_called_signed() -> None:
    levels = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(unsigned(torch.from_numpy(signed(levels)).numpy()), levels)


def scaled(samples: torch.Tensor, _valid: torch.Tensor | None) -> torch.Tensor:
    return samples * 2


def graphs_of(capacity: int) -> tuple[Graphs, list[torch.Size]]:
    def record(function: Function, samples: torch.Tensor, _valid: torch.Tensor | None) -> Function:
        recorded.append(samples.shape)
        return function

    recorded: list[torch.Size] = []
    return Graphs(record, capacity=capacity), recorded


def test_a_shape_is_recorded_when_it_comes_again_and_then_replayed() -> None:
    graphs, recorded = graphs_of(4)
    for side in (3, 4, 3, 3, 3):
        assert torch.equal(graphs.run("net", scaled, torch.ones(side), None), 2 * torch.ones(side))
    assert recorded == [(3,)]


def test_networks_formats_and_masks_have_graphs_of_their_own() -> None:
    graphs, recorded = graphs_of(16)
    ones = torch.ones(2)
    for _ in range(2):
        for key, samples, valid in [
            ("a", ones, None),
            ("b", ones, None),
            ("a", ones.double(), None),
            ("a", ones, ones),
        ]:
            graphs.run(key, scaled, samples, valid)
    assert len(recorded) == 4


def test_only_the_shapes_seen_last_keep_their_graphs() -> None:
    graphs, recorded = graphs_of(2)
    for side in (1, 1, 2, 2, 3, 3, 1, 1):
        graphs.run("net", scaled, torch.ones(side), None)
    assert recorded == [(1,), (2,), (3,), (1,)]


def test_cleared_graphs_are_recorded_anew() -> None:
    graphs, recorded = graphs_of(2)
    for _ in range(2):
        graphs.run("net", scaled, torch.ones(1), None)
        graphs.run("net", scaled, torch.ones(1), None)
        graphs.clear()
    assert len(recorded) == 2
