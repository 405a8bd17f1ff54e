"""Carries out a plan of faults: each in its time, several at once, never two on one target."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

from infra.errors import SetupError
from tests.faults.plan import PROCESSES, Fault
from tests.faults.proxy import Mode
from tests.faults.stage import Stage


@dataclass(frozen=True, slots=True)
class Done:
    """A fault as it was: from *began* to *ended* by the monotonic clock."""

    fault: Fault
    began: float
    ended: float


@dataclass(slots=True)
class Chaos:
    """Runs on threads of its own. `done` tells what was done, and when."""

    stage: Stage
    plan: Sequence[Fault]
    done: list[Done] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _locks: dict[str, threading.Lock] = field(init=False)

    def __post_init__(self) -> None:
        self._locks = {fault.target: threading.Lock() for fault in self.plan}

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the block runs, and after it until the last fault is mended."""
        began = time.monotonic()
        with ThreadPoolExecutor(len(self.plan)) as pool:
            faults = [pool.submit(self._play, fault, began + fault.at_seconds) for fault in self.plan]
            try:
                yield
            except BaseException:
                self._over.set()
                raise
            for one in faults:
                one.result()

    def _play(self, fault: Fault, at: float) -> None:
        if self._over.wait(at - time.monotonic()):
            return
        with self._locks[fault.target]:
            began = time.monotonic()
            self._do(fault)
            self.done.append(Done(fault, began, time.monotonic()))

    def _do(self, fault: Fault) -> None:
        if fault.target not in PROCESSES:
            with self.stage.links[fault.target].switched(cast("Mode", fault.kind)):
                self._over.wait(fault.seconds)
        elif fault.kind == "kill":
            self._act(fault.target, "kill")
            self._over.wait(fault.seconds / 2)
            self._up(fault.target)
        else:
            self._freeze(fault)

    def _freeze(self, fault: Fault) -> None:
        with suppress(ProcessLookupError):  # it died by itself, and is being started again
            self._act(fault.target, "freeze")
            self._over.wait(fault.seconds)
            self._act(fault.target, "thaw")

    def _up(self, name: str) -> None:
        """Start it until it works: while what it needs is away it may end at once."""
        while True:
            try:
                self._act(name, "restart")
            except SetupError:
                continue
            return

    def _act(self, name: str, what: str) -> None:
        service = self.stage.services.get(name)
        act: Callable[..., None] = getattr(service or self.stage.servers, what)
        act() if service else act(name)
