"""The one thread that the device belongs to: opens engines, and runs the tiles of every lane in batches."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import structlog

from processors.engines import DEPTH, DeviceLostError, DeviceMemoryError, Engine, NotFiniteError, Variant
from processors.engines.kernels import Kernel
from processors.picture import Pixels

#: Every fourth batch serves the bulk lane first, so that it moves on however busy the interactive one is.
BULK_TURN: Final = 4
#: Engines that stay open; more models than these share the memory of the device in turns.
OPEN_ENGINES: Final = 4

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spec:
    """Which engine a picture needs."""

    model: str
    variant: Variant
    denoise: int | None = None


OpenEngine: TypeAlias = Callable[[Spec], Engine | Kernel]
OnStep: TypeAlias = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Ran:
    """One tile's result, and its share of the time that the device was busy."""

    pixels: Pixels
    seconds: float


@dataclass(slots=True)
class Task:
    """One tile that waits for the device. `alone`: its batch was too large once."""

    engine: Engine
    tile: Pixels
    on_step: OnStep
    alone: bool = False
    future: "Future[Ran]" = field(default_factory=Future)

    def fits(self, other: "Task") -> bool:
        """Whether both can be in one batch."""
        same = self.engine is other.engine and self.tile.shape == other.tile.shape
        return same and self.tile.dtype == other.tile.dtype and not (self.alone or other.alone)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the engine has in hand."""

    tasks: list[Task]
    submitted: float

    @property
    def engine(self) -> Engine:
        """The engine of all of its tiles."""
        return self.tasks[0].engine

    def heard(self, share: float) -> None:
        """Tell every tile; only when none of them is wanted any more does the last one's refusal end the batch."""
        refusals = []
        for task in self.tasks:
            try:
                task.on_step(share)
            except Exception as error:  # noqa: BLE001 - raised again below, or told by the tile's own lane
                refusals.append(error)
        if len(refusals) == len(self.tasks):
            raise refusals[-1]


class Device:
    """Tiles in, futures out; at most `DEPTH` batches of one engine are under way, so that the device never waits.

    Args:
        open_engine: Loads an engine; called on the device's thread.
        idle_seconds: After so long without work the engines give the device's memory back; None never.
        on_lost: Called, on the device's thread, once only a new process can go on.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        open_engine: OpenEngine,
        *,
        idle_seconds: float | None = None,
        on_lost: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._open_engine = open_engine
        self._idle_seconds = idle_seconds
        self._on_lost = on_lost
        self._clock = clock
        self._engines: OrderedDict[Spec, Engine | Kernel] = OrderedDict()
        self._wanted: deque[tuple[Spec, Future[Engine | Kernel]]] = deque()
        self._waiting: tuple[deque[Task], deque[Task]] = deque(), deque()  # interactive, bulk
        self._under_way: deque[Batch] = deque()
        self._turn = 0
        self._free_since = clock()
        self._changed = threading.Condition()
        self._closed = False
        #: Seconds during which an engine had something in hand.
        self.busy_seconds = 0.0
        self._thread = threading.Thread(target=self._serve, name="device", daemon=True)
        self._thread.start()

    def open(self, spec: Spec) -> "Future[Engine | Kernel]":
        """The engine that *spec* names, loaded when it is not open; fails with what `open_engine` raises."""
        future: Future[Engine | Kernel] = Future()
        self._add(lambda: self._wanted.append((spec, future)))
        return future

    def submit(self, engine: Engine, tile: Pixels, *, on_step: OnStep, urgent: bool) -> "Future[Ran]":
        """Enlarge one tile.

        Args:
            engine: What `open` gave.
            tile: (H, W, 3) RGB, uint8 or uint16; not to be changed before the future is done.
            on_step: Hears the share that is done, 0..1, on the device's thread; what it raises ends the tile's work.
            urgent: Goes before what is not, except in every fourth batch.
        """
        task = Task(engine, tile, on_step)
        self._add(lambda: self._waiting[0 if urgent else 1].append(task))
        return task.future

    def close(self) -> None:
        """Finish what is under way; what still waits is cancelled."""
        with self._changed:
            self._closed = True
            for future in [future for _, future in self._wanted] + [task.future for task in self._queued()]:
                future.cancel()
            self._changed.notify()
        self._thread.join()

    def _add(self, append: Callable[[], None]) -> None:
        with self._changed:
            if self._closed:
                raise RuntimeError("the device is closed")
            append()
            self._changed.notify()

    def _queued(self) -> list[Task]:
        return [task for queue in self._waiting for task in queue]

    def _serve(self) -> None:
        try:
            while self._await_work():
                self._open_wanted()
                self._fill()
                if self._under_way:
                    self._settle(self._under_way[0])
                    self._under_way.popleft()
            self._release()
        except Exception as error:  # a thread that just ended would leave every lane waiting for ever
            log.exception("device.broke")
            self._abandon(DeviceLostError(f"The device's own thread failed: {error}"))
            self._on_lost()

    def _abandon(self, error: DeviceLostError) -> None:
        """Tell everybody who waits, and take no more."""
        with self._changed:
            self._closed = True
            tasks = [task for batch in self._under_way for task in batch.tasks] + self._queued()
            futures = [future for _, future in self._wanted] + [task.future for task in tasks]
        for future in futures:
            with suppress(InvalidStateError):  # it has its result, or its lane gave it up
                future.set_exception(error)

    def _await_work(self) -> bool:
        """Sleep until there is something to do; False when the device was closed and nothing is under way."""
        idle_seconds = self._idle_seconds
        with self._changed:
            while not self._has_work():
                if self._closed:
                    return False
                # what came in the moment that the time was over has told nobody
                if not (self._changed.wait(idle_seconds) or self._has_work()):
                    self._release()
                    idle_seconds = None
        return True

    def _has_work(self) -> bool:
        return bool(self._wanted or any(self._waiting) or self._under_way)

    def _open_wanted(self) -> None:
        while self._wanted:
            spec, future = self._wanted.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._engine(spec))
            except Exception as error:  # noqa: BLE001 - the lane that asked raises it
                future.set_exception(error)
                self._see_loss(error)

    def _engine(self, spec: Spec) -> Engine | Kernel:
        if spec not in self._engines:
            self._engines[spec] = self._open_engine(spec)
        self._engines.move_to_end(spec)
        if len(self._engines) > OPEN_ENGINES:
            busy = {id(batch.engine) for batch in self._under_way}  # engines hold arrays: they have no equality
            idle = next(old for old, engine in self._engines.items() if id(engine) not in busy)
            _release(self._engines.pop(idle))  # a lane that still holds it makes it load again
        return self._engines[spec]

    def _fill(self) -> None:
        """Give the engine the next batches. Two engines at once would only take each other's cores or memory."""
        while len(self._under_way) < DEPTH:
            tasks = self._next_tasks(self._under_way[0].engine if self._under_way else None)
            if not tasks:
                return
            batch = Batch(tasks, self._clock())
            try:
                batch.engine.submit(np.stack([task.tile for task in tasks]))
            except Exception as error:  # noqa: BLE001 - the lanes that wait raise it
                self._fail(batch, error)
            else:
                self._under_way.append(batch)

    def _next_tasks(self, engine: Engine | None) -> list[Task]:
        """Tiles of one shape for one engine, the first of them from the lane whose turn it is."""
        with self._changed:
            turn = self._turn + 1
            queues = self._waiting[::-1] if turn % BULK_TURN == 0 else self._waiting
            first = next((queue[0] for queue in queues if queue), None)
            if first is None or (engine is not None and first.engine is not engine):
                return []  # the turn stays: once this engine has ended, another one has it
            self._turn = turn
            chosen = [task for queue in queues for task in queue if task is first or task.fits(first)]
            chosen = chosen[: first.engine.max_batch]
            for queue in queues:
                kept = [task for task in queue if not any(task is one for one in chosen)]
                queue.clear()
                queue.extend(kept)
        return [task for task in chosen if task.future.set_running_or_notify_cancel()]

    def _settle(self, batch: Batch) -> None:
        try:
            outputs = batch.engine.result(batch.heard)
        except Exception as error:  # noqa: BLE001 - the lanes that wait raise it
            self._fail(batch, error)
            return
        began, self._free_since = max(batch.submitted, self._free_since), self._clock()
        seconds = self._free_since - began
        self.busy_seconds += seconds
        for task, pixels in zip(batch.tasks, outputs, strict=True):
            task.future.set_result(Ran(pixels, seconds / len(batch.tasks)))

    def _fail(self, batch: Batch, error: Exception) -> None:
        self._free_since = self._clock()
        if isinstance(error, DeviceMemoryError | NotFiniteError) and len(batch.tasks) > 1:
            with self._changed:
                self._waiting[0].extendleft(self._alone(task) for task in reversed(batch.tasks))
            return
        for task in batch.tasks:
            task.future.set_exception(error)
        self._see_loss(error)

    def _see_loss(self, error: Exception) -> None:
        if isinstance(error, DeviceLostError):
            log.error("device.lost", detail=error.detail)
            self._on_lost()

    def _alone(self, task: Task) -> Task:
        """The same tile in a batch of its own, for the same waiting lane."""
        again = Task(task.engine, task.tile, task.on_step, alone=True)
        again.future.add_done_callback(lambda done: _pass_on(done, task.future))
        return again

    def _release(self) -> None:
        for engine in self._engines.values():
            _release(engine)


def _pass_on(done: "Future[Ran]", to: "Future[Ran]") -> None:
    if done.cancelled():
        to.set_exception(CancelledError())  # it was begun once, and cannot be cancelled itself
    elif error := done.exception():
        to.set_exception(error)
    else:
        to.set_result(done.result())


def _release(engine: Engine | Kernel) -> None:
    if not isinstance(engine, Kernel):
        engine.release()
