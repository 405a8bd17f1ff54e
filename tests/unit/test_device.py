"""The device's thread with an engine that records: what is given to it in which order, and who hears of what."""

import threading
from concurrent.futures import CancelledError, Future
from itertools import pairwise

import numpy as np
import pytest

from processors.device import BULK_TURN, OPEN_ENGINES, Device, Ran, Spec
from processors.engines import ignore
from processors.engines.kernels import Kernel
from processors.enlarge import Stopped
from tests.engines import Repeater
from tests.unit.device_bench import SECONDS, VARIANT, Gated, opened, run, tile


def test_a_model_is_opened_once_and_on_the_device_s_own_thread() -> None:
    threads: list[str] = []

    def open_engine(spec: Spec) -> Kernel:
        threads.append(threading.current_thread().name)
        return Kernel(spec.model)

    with opened(Device(open_engine)) as device:
        kernels = [device.open(Spec("lanczos", VARIANT)).result(SECONDS) for _ in range(2)]
    assert kernels[0] is kernels[1]
    assert threads == ["device"]


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
