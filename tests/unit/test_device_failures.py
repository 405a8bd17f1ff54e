"""A device that fails: too large, no numbers, a thread that ends, a GPU that is lost. Nobody is left waiting."""

import threading
from collections.abc import Callable

import pytest

from processors.device import Device, Spec
from processors.engines import DeviceLostError, DeviceMemoryError, NotFiniteError, ignore
from processors.engines.kernels import Kernel
from processors.picture import Pixels
from tests.engines import Repeater
from tests.unit.device_bench import SECONDS, VARIANT, Gated, opened, run, tile


def test_an_engine_that_cannot_be_opened_fails_only_who_asked() -> None:
    def open_engine(spec: Spec) -> Kernel:
        if spec.model == "missing":
            raise KeyError(spec.model)
        return Kernel(spec.model)

    with opened(Device(open_engine)) as device:
        with pytest.raises(KeyError):
            device.open(Spec("missing", VARIANT)).result(SECONDS)
        assert device.open(Spec("bicubic", VARIANT)).result(SECONDS).name == "cv2"


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
