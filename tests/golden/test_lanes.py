"""Real networks on the device: what several pictures share changes nothing in any of them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from processors.device import Device, Spec
from processors.engines import Engine, Variant, open_engine
from processors.engines.kernels import Kernel
from processors.enlarge import Steps, enlarged, gathered
from processors.picture import Pixels
from tests.pictures import photograph

LANES, ROUNDS = 4, 50  # two hundred pictures
SECONDS = 60


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    def opened(spec: Spec) -> Engine | Kernel:
        return open_engine(spec.model, spec.variant, device="cpu", models_dir=tmp_path, cache_dir=tmp_path)

    made = Device(opened)
    yield made
    made.close()


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_two_pictures_in_many_lanes_never_mix(device: Device, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = device.open(Spec("realesr-animevideov3", Variant(engine, "f32"))).result(SECONDS)  # type: ignore[arg-type]
    assert not isinstance(network, Kernel)
    if engine == "torch":
        network.max_batch = LANES  # as on a GPU: tiles of several pictures in one batch
    submit, shared = type(network).submit, list[int]()

    def counted(self: Engine, tiles: Pixels) -> None:
        shared.append(len({one.tobytes() for one in tiles}))
        submit(self, tiles)

    monkeypatch.setattr(type(network), "submit", counted)
    whole = photograph(512, 512)
    pictures = [np.ascontiguousarray(whole[y : y + 40, x : x + 56]) for y, x in ((110, 190), (300, 400))]

    def enlarge(picture: Pixels, *, urgent: bool) -> Pixels:
        steps = Steps(
            lambda engine, tile, on_step: device.submit(engine, tile, on_step=on_step, urgent=urgent),
            on_tile=lambda _done, _total: None,
            should_stop=lambda: False,
        )
        size = 4 * picture.shape[1], 4 * picture.shape[0]
        return gathered(enlarged(picture, network, size, steps), size)

    alone = [enlarge(picture, urgent=True) for picture in pictures]
    wrong: list[int] = []

    def lane(number: int) -> None:
        for turn in range(ROUNDS):
            which = (number + turn) % 2
            made = enlarge(pictures[which], urgent=turn % 3 > 0)
            wrong.extend([which] * (not np.array_equal(made, alone[which])))

    lanes = [threading.Thread(target=lane, args=(number,), daemon=True) for number in range(LANES)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in lanes)
    assert wrong == []
    assert max(shared) == (2 if engine == "torch" else 1)  # pictures in one batch
