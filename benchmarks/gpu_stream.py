"""How much of the time the device is at work, over many pictures through the torch engine."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch

from processors.engines import DEPTH
from processors.engines.precision import sample_picture
from processors.engines.torch_engine import TorchEngine
from processors.engines.torch_lanes import Answer


@dataclass(slots=True)
class Watched:
    """Work that tells how long the device was at it."""

    body: Any
    on_gpu: bool
    spans: list[tuple[Any, Any]]

    def work(self, samples: torch.Tensor, *, half: bool) -> Generator[float, None, Answer]:
        """Pass on, between two events."""
        began = self.now()
        answer: Answer = yield from self.body.work(samples, half=half)
        self.spans.append((began, self.now()))
        return answer

    def now(self) -> Any:
        """Mark this place in the stream."""
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def seconds(self) -> float:
        """Of all the work."""
        return float(sum(a.elapsed_time(b) / 1e3 if self.on_gpu else b - a for a, b in self.spans))

    def release(self) -> None:
        """Pass on."""
        self.body.release()


def stream(engine: TorchEngine, side: int, pictures: int, *, on_gpu: bool) -> list[dict[str, object]]:
    """A stream of pictures through submit and result, as a worker has them: the device should never wait."""
    large = sample_picture(side + 64)
    crops = [large[None, k : k + side, k : k + side] for k in range(0, 64, 8)]
    for crop in crops[: DEPTH * 2]:  # the first runs choose kernels and record graphs
        engine.submit(crop)
        engine.result()
    watched = engine.body = Watched(engine.body, on_gpu=on_gpu, spans=[])
    began = time.perf_counter()
    for k in range(pictures):
        if len(engine.waiting) == DEPTH:
            engine.result()
        engine.submit(crops[k % len(crops)])
    while engine.waiting:
        engine.result()
    wall = time.perf_counter() - began
    busy = watched.seconds() / wall
    return [
        {"what": f"{pictures} pictures of {side}^2", "ms": wall * 1e3 / pictures, "ratio": busy, "device_busy": busy}
    ]
