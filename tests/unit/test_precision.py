from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from processors import engines
from processors.engines import Variant, open_engine, variants
from processors.engines.kernels import Kernel
from processors.engines.precision import Choice, choose_precision, machine, recall, remember, sample_picture
from processors.picture import Pixels

CHOICE = Choice(precision="bf16", seconds={"f32": 2.0, "bf16": 1.0}, psnr_db=55.0, side_px=64)


class Clock:
    """Time that passes only where a candidate spends it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def candidate(self, *seconds: float, error: int = 0) -> Callable[[Pixels], Pixels]:
        runs = count()

        def run(picture: Pixels) -> Pixels:
            self.now += seconds[min(next(runs), len(seconds) - 1)]
            return picture + np.uint8(error)

        return run


@pytest.mark.parametrize(
    ("f32", "bf16", "error", "chosen"),
    [
        ((2.0,), (1.0,), 0, "bf16"),
        ((1.0,), (2.0,), 0, "f32"),
        ((1.0,), (1.0,), 0, "f32"),
        ((2.0,), (1.0,), 9, "f32"),  # faster, and far from the truth
        ((9.0, 1.0), (2.0,), 0, "f32"),  # the first run warms up
        ((9.0, 9.0, 1.0), (2.0,), 0, "f32"),  # a neighbour's load in one round does not decide
    ],
)
def test_the_faster_of_the_true_ones_is_chosen(
    f32: tuple[float, ...], bf16: tuple[float, ...], error: int, chosen: str
) -> None:
    clock = Clock()
    candidates = {"f32": clock.candidate(*f32), "bf16": clock.candidate(*bf16, error=error)}
    choice = choose_precision(candidates, np.full((8, 8, 3), 90, np.uint8), clock=clock)
    assert choice.precision == chosen
    assert choice.seconds == {"f32": min(f32), "bf16": min(bf16)}


def test_a_processor_with_one_precision_gets_that_one() -> None:
    clock = Clock()
    choice = choose_precision({"f32": clock.candidate(1.5)}, np.zeros((4, 4, 3), np.uint8), clock=clock)
    assert choice == Choice(precision="f32", seconds={"f32": 1.5}, psnr_db=None, side_px=4)


def test_choices_are_remembered_side_by_side(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "precision.json"
    other = CHOICE.model_copy(update={"precision": "f32"})
    remember(file, "a", CHOICE)
    remember(file, "b", other)
    assert (recall(file, "a"), recall(file, "b"), recall(file, "c")) == (CHOICE, other, None)
    assert [path.name for path in file.parent.iterdir()] == ["precision.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": {"precision": 3}}'])
def test_a_damaged_memory_is_no_memory(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "precision.json"
    file.write_bytes(content)
    assert recall(file, "a") is None
    remember(file, "a", CHOICE)
    assert recall(file, "a") == CHOICE


def test_the_sample_is_always_the_same_and_has_a_photographs_contrast() -> None:
    picture = sample_picture(96)
    assert picture.shape == (96, 96, 3)
    assert np.array_equal(picture, sample_picture(96))
    assert 30 < picture.std() < 80
    steps = np.abs(np.diff(picture.astype(int), axis=1)).mean()
    assert steps < 20  # noise would have some 85


def test_the_machine_has_one_name() -> None:
    assert machine() == machine()
    assert machine().split("x")[1].isdigit()


def open_on(device: engines.Device, folder: Path, name: str = "realesr-animevideov3") -> engines.Engine | Kernel:
    return open_engine(name, Variant("openvino", "best"), device=device, models_dir=folder, cache_dir=folder)


def test_a_gpu_without_torch_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    with pytest.raises(PipelineError) as caught:
        variants("cuda", fast=False)
    assert caught.value.code == "engine_failed"
    assert "requirements/gpu.txt" in caught.value.hint


@pytest.mark.parametrize(
    ("device", "driver", "torch", "first"),
    [
        ("auto", True, True, "torch"),
        ("auto", False, True, "openvino"),
        ("auto", True, False, "openvino"),
        ("cpu", True, True, "openvino"),
        ("cuda", False, True, "torch"),
    ],
)
def test_the_gpu_is_used_where_there_is_one_and_torch(
    *, device: engines.Device, driver: bool, torch: bool, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(engines, "_NVIDIA", (str(tmp_path / ("nvidiactl" if driver else "none")),))
    monkeypatch.setattr(engines, "find_spec", lambda name: object() if torch or name != "torch" else None)
    assert variants(device, fast=False)[0] == (first, "best")


@pytest.mark.parametrize(("fast", "first"), [(False, "best"), (True, "fast")])
def test_a_result_that_is_not_true_is_tried_in_float32_and_then_elsewhere(*, fast: bool, first: str) -> None:
    assert variants("cpu", fast=fast) == (("openvino", first), ("openvino", "f32"), ("torch", "f32"))


def test_an_engine_that_is_not_installed_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == "torch" else object())
    assert variants("auto", fast=False) == (("openvino", "best"), ("openvino", "f32"))


def test_kernels_open_on_any_device(tmp_path: Path) -> None:
    assert open_on("cuda", tmp_path, "lanczos") == Kernel("lanczos")


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        open_on("cpu", tmp_path, "nothing")
    assert caught.value.code == "model_unknown"
