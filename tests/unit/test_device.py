"""The device's thread with an engine that records: what is given to it in which order, and who hears of what."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from processors.device import BULK_TURN, OPEN_ENGINES, Device, OnStep, Ran, Spec
from processors.engines import DeviceLostError, DeviceMemoryError, Engine, NotFiniteError, Variant, ignore
from processors.engines.kernels import Kernel
from processors.enlarge import Stopped
from processors.picture import Pixels
from tests.engines import Repeater

VARIANT = Variant("openvino", "best")
SECONDS = 10


def tile(value: int, side: int = 4) -> Pixels:
    return np.full((side, side, 3), value, np.uint8)


@contextmanager
def opened(device: Device) -> Iterator[Device]:
    try:
        yield device
    finally:
        device.close()


class Incomparable(Repeater):
    """As an engine with arrays in its fields."""

    def __eq__(self, _other: object) -> bool:
        raise ValueError("The truth value of an array is ambiguous.")

    __hash__ = None  # type: ignore[assignment]


class Gated(Incomparable):
    """Holds every batch until it is let go, and says when one has begun."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.begun, self.let_go = threading.Semaphore(0), threading.Semaphore(0)
        self.values: list[list[int]] = []

    def result(self, on_step: Callable[[float], None] = ignore) -> Pixels:
        self.values.append([int(one.flat[0]) for one in self.waiting[0]])
        self.begun.release()
        assert self.let_go.acquire(timeout=SECONDS)
        return super().result(on_step)


def run(device: Device, engine: Engine, value: int, *, urgent: bool = True, on_step: OnStep = ignore) -> "Future[Ran]":
    return device.submit(engine, tile(value), on_step=on_step, urgent=urgent)


def test_a_model_is_opened_once_and_on_the_device_s_own_thread() -> None:
    threads: list[str] = []

    def open_engine(spec: Spec) -> Kernel:
        threads.append(threading.current_thread().name)
        return Kernel(spec.model)

    with opened(Device(open_engine)) as device:
        kernels = [device.open(Spec("lanczos", VARIANT)).result(SECONDS) for _ in range(2)]
    assert kernels[0] is kernels[1]
    assert threads == ["device"]


def test_an_engine_that_cannot_be_opened_fails_only_who_asked() -> None:
    def open_engine(spec: Spec) -> Kernel:
        if spec.model == "missing":
            raise KeyError(spec.model)
        return Kernel(spec.model)

    with opened(Device(open_engine)) as device:
        with pytest.raises(KeyError):
            device.open(Spec("missing", VARIANT)).result(SECONDS)
        assert device.open(Spec("bicubic", VARIANT)).result(SECONDS).name == "cv2"


def test_the_engine_longest_unused_gives_its_memory_back() -> None:
    engines: dict[str, Repeater] = {}

    def open_engine(spec: Spec) -> Repeater:
        return engines.setdefault(spec.model, Repeater())

    with opened(Device(open_engine)) as device:
        for number in range(OPEN_ENGINES + 1):
            device.open(Spec(str(number), VARIANT)).result(SECONDS)
        assert [engine.releases for engine in engines.values()] == [1] + OPEN_ENGINES * [0]


def test_an_engine_at_work_is_never_the_one_that_is_closed() -> None:
    engines: dict[str, Gated] = {}

    def open_engine(spec: Spec) -> Gated:
        return engines.setdefault(spec.model, Gated())

    with opened(Device(open_engine)) as device:
        first = device.open(Spec("0", VARIANT)).result(SECONDS)
        assert isinstance(first, Gated)
        futures = [run(device, first, value) for value in (1, 2)]
        assert first.begun.acquire(timeout=SECONDS)
        others = [device.open(Spec(str(number), VARIANT)) for number in range(1, OPEN_ENGINES + 2)]
        for _ in futures:
            first.let_go.release()
        assert [int(future.result(SECONDS).pixels.flat[0]) for future in futures] == [1, 2]
        for other in others:
            other.result(SECONDS)
    assert engines["1"].releases > 0


def test_tiles_of_one_shape_share_a_batch_and_each_lane_gets_its_own() -> None:
    engine = Gated(max_batch=4)
    with opened(Device(lambda _: engine)) as device:
        first = run(device, engine, 0)
        assert engine.begun.acquire(timeout=SECONDS)
        others = [run(device, engine, value) for value in (1, 2, 3)]
        larger = device.submit(engine, tile(9, side=6), on_step=ignore, urgent=True)
        for _ in range(3):
            engine.let_go.release()
        assert [int(one.result(SECONDS).pixels.flat[0]) for one in (first, *others, larger)] == [0, 1, 2, 3, 9]
    assert engine.shapes == [(1, 4, 4, 3), (3, 4, 4, 3), (1, 6, 6, 3)]


def test_the_next_batch_is_queued_while_one_runs() -> None:
    engine = Gated()
    with opened(Device(lambda _: engine)) as device:
        futures = [run(device, engine, value) for value in range(3)]
        assert engine.begun.acquire(timeout=SECONDS)
        for _ in futures:
            engine.let_go.release()
        for future in futures:
            future.result(SECONDS)
    assert engine.values == [[0], [1], [2]]


def test_urgent_tiles_go_first_and_every_fourth_batch_is_the_bulk_lane_s() -> None:
    engine = Gated()
    with opened(Device(lambda _: engine)) as device:
        run(device, engine, 200)
        assert engine.begun.acquire(timeout=SECONDS)  # everything below now waits together
        bulk = [run(device, engine, 100 + value, urgent=False) for value in range(3)]
        urgent = [run(device, engine, value) for value in range(12)]
        for _ in range(16):
            engine.let_go.release()
        for future in (*bulk, *urgent):
            future.result(SECONDS)
    order = [batch[0] for batch in engine.values[1:]]
    assert sorted(order) == [*range(12), 100, 101, 102]
    places = [order.index(value) for value in (100, 101, 102)]
    assert [b - a for a, b in pairwise(places)] == [BULK_TURN, BULK_TURN]
    assert places[0] < BULK_TURN


def test_bulk_has_its_turn_also_with_another_model() -> None:
    """The engine at work would go on for as long as interactive tiles come: it ends for the turn of another."""
    urgent, bulk = Gated(), Gated()
    with opened(Device(lambda _: urgent)) as device:
        first = [run(device, urgent, value) for value in range(12)]
        assert urgent.begun.acquire(timeout=SECONDS)
        late = run(device, bulk, 100, urgent=False)
        for _ in range(BULK_TURN + 1):
            urgent.let_go.release()
        assert bulk.begun.acquire(timeout=SECONDS)
        bulk.let_go.release()
        assert int(late.result(SECONDS).pixels.flat[0]) == 100
        assert sum(future.done() for future in first) <= BULK_TURN + 1
        for _ in range(12):
            urgent.let_go.release()
        assert [int(future.result(SECONDS).pixels.flat[0]) for future in first] == list(range(12))


def test_a_tile_that_gives_no_numbers_spoils_no_other_in_its_batch() -> None:
    def fails_on_seven(tiles: Pixels) -> Pixels:
        if (tiles == 7).any():
            raise NotFiniteError("repeater")
        return tiles

    engine = Gated(max_batch=4, damage=fails_on_seven)
    with opened(Device(lambda _: engine)) as device:
        first = run(device, engine, 0)
        assert engine.begun.acquire(timeout=SECONDS)
        good, bad = run(device, engine, 1), run(device, engine, 7)
        for _ in range(4):
            engine.let_go.release()
        assert [int(one.result(SECONDS).pixels.flat[0]) for one in (first, good)] == [0, 1]
        with pytest.raises(NotFiniteError):
            bad.result(SECONDS)


def test_tiles_of_a_batch_that_was_cut_end_with_the_device() -> None:
    engine = Gated(max_batch=4, memory_pixels=16)
    device = Device(lambda _: engine)
    futures = [run(device, engine, 0)]
    assert engine.begun.acquire(timeout=SECONDS)
    futures += [run(device, engine, value) for value in (1, 2, 3)]
    for _ in range(2):  # the first, and the batch of three that is too large
        engine.let_go.release()
        assert engine.begun.acquire(timeout=SECONDS)
    closing = threading.Thread(target=device.close, daemon=True)
    closing.start()
    assert isinstance(futures[3].exception(SECONDS), CancelledError)  # two are under way alone, and it waited
    for _ in range(2):
        engine.let_go.release()
    closing.join(SECONDS)
    assert not closing.is_alive()
    assert [int(future.result(SECONDS).pixels.flat[0]) for future in futures[:3]] == [0, 1, 2]


def test_a_device_whose_own_thread_fails_leaves_nobody_waiting() -> None:
    class Unreleasable(Repeater):
        def release(self) -> None:
            raise RuntimeError("CUDA error: the card has fallen off the bus")

    lost, device = threading.Event(), Device(lambda _: Unreleasable(), idle_seconds=0.001)
    device._on_lost = lost.set
    device.open(Spec("a", VARIANT)).result(SECONDS)
    assert lost.wait(SECONDS)
    with pytest.raises(RuntimeError, match="closed"):
        device.open(Spec("b", VARIANT))
    device.close()


def test_a_tile_that_comes_as_the_idle_time_ends_is_not_left_lying() -> None:
    """The time is over, and before the thread has the lock again somebody else has it, and adds a tile."""
    engine = Repeater()
    device = Device(lambda _: engine, idle_seconds=1000.0)
    wait, late = device._changed.wait, list[Future[Ran]]()

    def time_out_beside_a_tile(timeout: float | None = None) -> bool:
        if timeout is None or late:
            return wait(timeout)
        wait(timeout)  # until the first tile: from here on the lock is ours, as it would be theirs
        late.append(Future())
        return False

    device._changed.wait = time_out_beside_a_tile  # type: ignore[method-assign]
    with opened(device):
        run(device, engine, 1).result(SECONDS)  # wakes the wait that began before the exchange
        assert int(run(device, engine, 2).result(SECONDS).pixels.flat[0]) == 2
        assert int(run(device, engine, 3).result(SECONDS).pixels.flat[0]) == 3


def test_whoever_waits_is_told_when_the_thread_fails() -> None:
    class Short(Gated):
        def result(self, on_step: Callable[[float], None] = ignore) -> Pixels:
            return super().result(on_step)[:0]  # fewer results than tiles

    engine, lost = Short(), threading.Event()
    device = Device(lambda _: engine, on_lost=lost.set)
    futures = [run(device, engine, value) for value in range(4)]
    for _ in range(4):
        engine.let_go.release()
    for future in futures:
        assert isinstance(future.exception(SECONDS), DeviceLostError)
    assert lost.wait(SECONDS)
    device.close()


@pytest.mark.parametrize("opening", [True, False])
def test_whoever_waits_is_told_before_the_process_hears_of_a_lost_device(*, opening: bool) -> None:
    answers = iter([RuntimeError("Event loop is closed"), None])

    def deaf_at_first() -> None:
        if error := next(answers):
            raise error

    def open_engine(_spec: Spec) -> Kernel:
        raise DeviceLostError("The card is gone.")

    with opened(Device(open_engine, on_lost=deaf_at_first)) as device:
        futures = [device.open(Spec("a", VARIANT))] if opening else [run(device, Repeater(lost_at=1), 1)]
        assert isinstance(futures[0].exception(SECONDS), DeviceLostError)
    assert next(answers, "both were given") == "both were given"


def test_a_device_that_is_lost_while_an_engine_is_opened_ends_the_process() -> None:
    def open_engine(_spec: Spec) -> Kernel:
        raise DeviceLostError("The card is gone.")

    lost = threading.Event()
    with opened(Device(open_engine, on_lost=lost.set)) as device:
        with pytest.raises(DeviceLostError):
            device.open(Spec("a", VARIANT)).result(SECONDS)
        assert lost.wait(SECONDS)


def test_a_batch_that_is_too_large_is_run_tile_by_tile() -> None:
    engine = Gated(max_batch=4, memory_pixels=16)
    with opened(Device(lambda _: engine)) as device:
        first = run(device, engine, 0)
        assert engine.begun.acquire(timeout=SECONDS)
        others = [run(device, engine, value) for value in (1, 2)]
        for _ in range(4):
            engine.let_go.release()
        assert [int(one.result(SECONDS).pixels.flat[0]) for one in (first, *others)] == [0, 1, 2]
    assert engine.shapes == [(1, 4, 4, 3), (2, 4, 4, 3), (1, 4, 4, 3), (1, 4, 4, 3)]


@pytest.mark.parametrize("at_once", [False, True])
def test_a_tile_that_is_too_large_alone_is_its_own_lane_s_matter(*, at_once: bool) -> None:
    engine, lost = Repeater(memory_pixels=16, refuses_at_once=at_once), threading.Event()
    with opened(Device(lambda _: engine, on_lost=lost.set)) as device:
        large = device.submit(engine, tile(1, side=8), on_step=ignore, urgent=True)
        small = run(device, engine, 2)
        with pytest.raises(DeviceMemoryError):
            large.result(SECONDS)
        assert int(small.result(SECONDS).pixels.flat[0]) == 2
    assert not lost.is_set()


def test_a_lost_device_is_said_to_be() -> None:
    engine, lost = Repeater(lost_at=1), threading.Event()
    with opened(Device(lambda _: engine, on_lost=lost.set)) as device:
        with pytest.raises(DeviceLostError):
            run(device, engine, 1).result(SECONDS)
        assert lost.wait(SECONDS)


def test_a_batch_is_given_up_only_when_nobody_wants_any_of_it() -> None:
    def unwanted(_share: float) -> None:
        raise Stopped

    engine = Gated(max_batch=2)
    heard: list[float] = []
    with opened(Device(lambda _: engine)) as device:
        run(device, engine, 0)
        assert engine.begun.acquire(timeout=SECONDS)
        left, right = run(device, engine, 1, on_step=unwanted), run(device, engine, 2, on_step=heard.append)
        engine.let_go.release()
        engine.let_go.release()
        assert int(right.result(SECONDS).pixels.flat[0]) == 2
        left.result(SECONDS)
        engine.let_go.release()
        with pytest.raises(Stopped):
            run(device, engine, 3, on_step=unwanted).result(SECONDS)
    assert heard == [0.5, 1.0]


def test_a_cancelled_tile_is_never_run() -> None:
    engine = Gated()
    with opened(Device(lambda _: engine)) as device:
        running = run(device, engine, 0)
        assert engine.begun.acquire(timeout=SECONDS)
        queued = [run(device, engine, value) for value in (1, 2, 3)]
        assert queued[2].cancel()
        for _ in range(3):
            engine.let_go.release()
        for future in (running, *queued[:2]):
            future.result(SECONDS)
    assert engine.values == [[0], [1], [2]]


def test_closing_finishes_what_runs_and_cancels_what_waits() -> None:
    engine = Gated()
    device = Device(lambda _: engine)
    futures = [run(device, engine, value) for value in range(4)]
    assert engine.begun.acquire(timeout=SECONDS)
    for _ in futures:
        engine.let_go.release()
    device.close()
    ended = [future.cancelled() or int(future.result(0).pixels.flat[0]) for future in futures]
    assert ended[0] == 0
    assert engine.waiting == type(engine.waiting)()
    with pytest.raises(RuntimeError, match="closed"):
        run(device, engine, 1)


def test_an_idle_device_gives_its_memory_back_and_takes_it_again() -> None:
    released = threading.Event()

    class Released(Repeater):
        def release(self) -> None:
            super().release()
            released.set()

    engine = Released()
    with opened(Device(lambda _: engine, idle_seconds=0.01)) as device:
        device.open(Spec("one", VARIANT)).result(SECONDS)
        assert released.wait(SECONDS)
        assert int(run(device, engine, 7).result(SECONDS).pixels.flat[0]) == 7


def test_busy_time_is_counted_once_however_batches_overlap() -> None:
    ticks = iter(range(1000))
    lock = threading.Lock()

    def clock() -> float:
        with lock:
            return float(next(ticks))

    engine = Repeater()
    with opened(Device(lambda _: engine, clock=clock)) as device:
        spans = [run(device, engine, value).result(SECONDS).seconds for value in range(5)]
        assert sum(spans) == device.busy_seconds <= next(ticks)


def test_two_hundred_rounds_in_four_lanes_never_mix_pictures() -> None:
    engine = Repeater(max_batch=4)
    wrong: list[int] = []
    with opened(Device(lambda _: engine)) as device:

        def lane(value: int) -> None:
            for turn in range(200):
                made = run(device, engine, value, urgent=turn % 3 > 0).result(SECONDS).pixels
                wrong.extend({int(one) for one in np.unique(made)} - {value})

        lanes = [threading.Thread(target=lane, args=(value,)) for value in (10, 20, 30, 40)]
        for thread in lanes:
            thread.start()
        for thread in lanes:
            thread.join()
    assert wrong == []
    assert sum(shape[0] for shape in engine.shapes) == 800


def test_a_future_of_a_closed_device_is_cancelled() -> None:
    device = Device(lambda _: Repeater())
    device.close()
    with pytest.raises((RuntimeError, CancelledError)):
        device.open(Spec("one", VARIANT)).result(SECONDS)
