"""The OpenVINO engine: what it promises to whoever feeds it, with networks of a few channels."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from processors.engines import DeviceMemoryError, NotFiniteError, openvino_engine, openvino_programs
from processors.engines.memory import free_bytes
from processors.engines.openvino_engine import OpenVinoEngine, open_openvino
from processors.engines.openvino_graph import doubling_kernel
from processors.engines.openvino_programs import Halved, Request, Undivided, told
from processors.models.registry import Model, Network, Weights, find_model
from processors.models.weights import load_weights
from processors.picture import Pixels

RRDB = Network(architecture="rrdb", features=16, blocks=2, growth=8, scale=4)
SQUARES = RRDB.model_copy(update={"scale": 2, "unshuffle": 2})
SRVGG = Network(architecture="srvgg", features=16, blocks=3, scale=4)
NETWORKS = [RRDB, SQUARES, SRVGG]
NAMES = ["rrdb", "rrdb of squares", "srvgg"]


def weights_of(network: Network) -> Weights:
    """Random, and small enough that samples stay in their range."""
    rng = np.random.default_rng(3)
    return [np.asarray(rng.normal(0, 0.06, shape), np.float32) for shape in network.parameters().values()]


def opened(network: Network, folder: Path) -> OpenVinoEngine:
    model = Model(name="small", summary="", licence="", scales=(4,), network=network)
    return open_openvino(model, weights_of(network), cache_dir=folder, precision="f32")


def tile(height: int, width: int, seed: int = 0) -> Pixels:
    return np.asarray(np.random.default_rng(seed).integers(0, 256, (1, height, width, 3)), np.uint8)


def upscaled(engine: OpenVinoEngine, pixels: Pixels) -> Pixels:
    engine.submit(pixels)
    return engine.result()


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_results_come_in_the_order_of_their_tiles_whatever_else_waits(network: Network, tmp_path: Path) -> None:
    engine, tiles = opened(network, tmp_path), [tile(12, 10, seed) for seed in range(4)]
    alone = [upscaled(engine, pixels) for pixels in tiles]
    engine.submit(tiles[0])
    for ahead, expected in zip([*tiles[1:], None], alone, strict=True):
        if ahead is not None:
            engine.submit(ahead)
        assert np.array_equal(engine.result(), expected)
    assert len({pixels.tobytes() for pixels in alone}) == 4


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_a_result_is_the_callers_to_keep(network: Network, tmp_path: Path) -> None:
    engine = opened(network, tmp_path)
    first = upscaled(engine, tile(9, 8))
    kept = first.copy()
    upscaled(engine, tile(9, 8, seed=1))
    assert np.array_equal(first, kept)


def test_a_third_batch_is_refused_and_the_two_go_on(tmp_path: Path) -> None:
    engine = opened(SRVGG, tmp_path)
    engine.submit(tile(6, 6))
    engine.submit(tile(7, 6))
    with pytest.raises(RuntimeError, match="wait already"):
        engine.submit(tile(8, 6))
    assert [engine.result().shape[1] for _ in range(2)] == [24, 28]
    with pytest.raises(RuntimeError, match="no batch"):
        engine.result()


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (8, 8, 3), (1, 8, 8, 1)])
def test_what_is_not_one_colour_tile_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one tile"):
        opened(SRVGG, tmp_path).submit(np.zeros(shape, np.uint8))


class Stopped(Exception):  # noqa: N818 - as a caller's own
    pass


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_an_abandoned_batch_leaves_the_next_one_whole(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_programs, "_STEP_SECONDS", 0)
    engine, (first, second) = opened(network, tmp_path), (tile(400, 300), tile(20, 20))
    expected = upscaled(engine, second)
    engine.submit(first)
    engine.submit(second)

    def stop(_share: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        engine.result(stop)
    assert np.array_equal(engine.result(), expected)


def test_the_share_done_grows_to_one(tmp_path: Path) -> None:
    engine, heard = opened(RRDB, tmp_path), list[float]()
    engine.submit(tile(300, 200))
    engine.result(heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1)
    assert len(heard) >= 6  # the tail's pieces at least


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_released_memory_is_taken_again(network: Network, tmp_path: Path) -> None:
    engine = opened(network, tmp_path)
    before = upscaled(engine, tile(8, 8))
    engine.submit(tile(300, 200))
    engine.release()
    assert not engine.programs
    assert np.array_equal(upscaled(engine, tile(8, 8)), before)


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_sixteen_bits_say_the_same_as_eight_and_more(network: Network, tmp_path: Path) -> None:
    engine, pixels = opened(network, tmp_path), tile(24, 18)
    coarse, fine = upscaled(engine, pixels), upscaled(engine, pixels.astype(np.uint16) * np.uint16(257))
    assert fine.dtype == np.uint16
    assert np.abs(fine / 257 - coarse).max() <= 0.51  # within the rounding to 8 bits
    assert len(np.unique(fine)) > 3 * len(np.unique(coarse))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 4), (9, 11)])
def test_odd_sides_are_mirrored_never_darkened(height: int, width: int, tmp_path: Path) -> None:
    engine, pixels = opened(SQUARES, tmp_path), tile(height, width)
    even = np.pad(pixels, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), "symmetric")
    assert np.array_equal(upscaled(engine, pixels), upscaled(engine, even)[:, : 2 * height, : 2 * width])


def test_a_tile_that_memory_does_not_hold_is_refused_before_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(RRDB, tmp_path)
    monkeypatch.setattr(openvino_engine, "free_bytes", lambda: 300 << 20)
    with pytest.raises(DeviceMemoryError, match="1000 x 900 pixels"):
        engine.submit(np.zeros((1, 900, 1000, 3), np.uint8))
    assert upscaled(engine, tile(8, 8)).shape == (1, 32, 32, 3)


def test_a_container_sees_its_own_limit(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    assert free_bytes(meminfo, tmp_path) == 8000 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    assert free_bytes(meminfo, tmp_path) == 1000
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 700\n")
    assert free_bytes(meminfo, tmp_path) == 1700
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(meminfo, tmp_path) == 8000 * 1024


def test_a_transposed_convolution_doubles_as_repetition_and_a_convolution_do() -> None:
    kernel = np.random.default_rng(1).standard_normal((1, 1, 3, 3)).astype(np.float32)
    row = np.random.default_rng(2).standard_normal((7, 5)).astype(np.float32)
    padded = np.pad(row.repeat(2, 0).repeat(2, 1), 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    expected = np.einsum("yxrc,rc->yx", windows, kernel[0, 0])
    made = np.zeros((2 * 7 + 2, 2 * 5 + 2), np.float32)
    for (y, x), value in np.ndenumerate(row):
        made[2 * y : 2 * y + 4, 2 * x : 2 * x + 4] += value * doubling_kernel(kernel)[0, 0]
    assert np.allclose(made[1:-1, 1:-1], expected, atol=1e-5)


def test_a_failure_inside_openvino_is_told(tmp_path: Path) -> None:
    class Broken:
        def set_input_tensor(self, _tensor: object) -> None: ...

        def set_output_tensor(self, _index: int, _tensor: object) -> None: ...

        def infer(self, *, share_outputs: bool) -> None:
            raise RuntimeError("Exception from somewhere\ncould not do it")

    engine = opened(SRVGG, tmp_path)
    engine.programs[np.uint8] = Undivided(Request(Broken()), 4, 0.0)
    engine.submit(tile(4, 4))
    with pytest.raises(PipelineError, match="could not do it") as caught:
        engine.result()
    assert (caught.value.code, caught.value.retryable) == ("engine_failed", True)
    assert upscaled(engine, tile(4, 4)).shape == (1, 16, 16, 3)


@pytest.mark.parametrize(("faster", "precisions"), [("best", {"f32", "bf16"}), ("int8", {"int8"})])
def test_fast_is_whatever_was_measured_to_be_faster_here(faster: str, precisions: set[str], tmp_path: Path) -> None:
    model = find_model("realesr-animevideov3")
    weights = load_weights(model, tmp_path)
    open_openvino(model, weights, cache_dir=tmp_path, precision="fast")
    measured = json.loads((tmp_path / "precision.json").read_text())
    (key,) = [name for name in measured if name.endswith(" fast")]
    assert set(measured[key]["seconds"]) == {"best", "int8"}
    measured[key]["precision"] = faster
    (tmp_path / "precision.json").write_text(json.dumps(measured))
    assert open_openvino(model, weights, cache_dir=tmp_path, precision="fast").precision in precisions


def test_fast_is_best_where_nobody_calibrated_the_model(tmp_path: Path) -> None:
    model = Model(name="small", summary="", licence="", scales=(4,), network=SRVGG)
    assert open_openvino(model, weights_of(SRVGG), cache_dir=tmp_path, precision="fast").precision in {"f32", "bf16"}


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_a_batch_that_cannot_begin_gives_nobody_another_s_result(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, tiles = opened(network, tmp_path), [tile(12, 10, seed) for seed in range(4)]
    alone = [upscaled(engine, pixels) for pixels in tiles]
    program = engine.programs[np.uint8]
    start, starts = program.start, iter([None, ValueError(), None, RuntimeError("no room"), None])

    def failing(pixels: Pixels) -> None:
        if error := next(starts):
            raise error
        start(pixels)

    monkeypatch.setattr(type(program), "start", lambda _self, pixels: failing(pixels))
    engine.submit(tiles[0])
    engine.submit(tiles[1])
    assert np.array_equal(engine.result(), alone[0])  # the second could not begin: that is its own matter
    engine.submit(tiles[2])
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it is
        engine.result()
    assert np.array_equal(engine.result(), alone[2])
    with pytest.raises(PipelineError, match="no room"):
        engine.submit(tiles[3])
    assert np.array_equal(upscaled(engine, tiles[3]), alone[3])


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_a_program_without_room_keeps_nothing_of_the_tile_before(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_arguments: object) -> Pixels:
        raise MemoryError

    engine = opened(network, tmp_path)
    program = engine.programs[np.uint8]
    first, second = tile(12, 10), tile(12, 10, seed=1)
    upscaled(engine, first)
    with monkeypatch.context() as patched:
        patched.setattr(np, "empty", no_room)
        with pytest.raises(DeviceMemoryError):
            engine.submit(second)
    assert (program.features if isinstance(program, Halved) else program.large).size == 0  # type: ignore[attr-defined]
    assert upscaled(engine, first).any()


def test_a_network_that_cannot_be_compiled_again_is_dropped_and_released_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_samples: object) -> Undivided:
        raise RuntimeError("the cache is full")

    engine = opened(SRVGG, tmp_path)
    expected = upscaled(engine, tile(8, 8))
    monkeypatch.setattr(engine, "compile_for", broken)
    engine.submit(tile(8, 8))
    engine.submit(tile(8, 8).astype(np.uint16))  # a network of its own
    assert np.array_equal(engine.result(), expected)
    engine.release()
    with pytest.raises(PipelineError, match="the cache is full"):
        engine.submit(tile(8, 8))
    assert not engine.waiting
    monkeypatch.undo()
    assert np.array_equal(upscaled(engine, tile(8, 8)), expected)


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
@pytest.mark.parametrize("level", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_never_pixels(network: Network, level: float, tmp_path: Path) -> None:
    model = Model(name="small", summary="", licence="", scales=(4,), network=network)
    whole = weights_of(network)
    broken = [whole[0].copy(), *whole[1:]]
    broken[0][-1, 0] = level
    engine = open_openvino(model, broken, cache_dir=tmp_path, precision="f32")
    for dtype in (np.uint8, np.uint16):
        with pytest.raises(NotFiniteError, match="small gave values that are no numbers"):
            upscaled(engine, tile(12, 10).astype(dtype))


def test_an_error_without_words_is_told_by_its_name() -> None:
    assert told(RuntimeError()).detail == "OpenVINO failed: RuntimeError"
