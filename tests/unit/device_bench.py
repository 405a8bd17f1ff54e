"""A device to try, and engines that can be held and looked at."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import numpy as np

from processors.device import Device, OnStep, Ran
from processors.engines import Engine, Variant, ignore
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
