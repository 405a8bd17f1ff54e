"""The torch engine on the processor: what it promises to whoever feeds it, with networks of a few channels."""

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from processors.engines import DeviceLostError, DeviceMemoryError, NotFiniteError, mirrored
from processors.engines import torch_work as work
from processors.engines.torch_engine import TorchEngine, open_torch, open_torch_module, typed
from processors.engines.torch_graphs import Function, Graphs
from processors.engines.torch_networks import TorchNetwork
from processors.engines.torch_work import NetworkBody
from processors.models.registry import Model, Module, Network, Weights
from processors.picture import Pixels
from tests.unit.test_torch_engine_networks import RRDB, SRVGG, published, random_weights

NETWORKS = [RRDB, RRDB.model_copy(update={"scale": 2, "unshuffle": 2}), SRVGG]
NAMES = ["rrdb", "rrdb of squares", "srvgg"]


def tiles(*size: int, dtype: type = np.uint8) -> Pixels:
    return np.asarray(np.random.default_rng(5).integers(0, np.iinfo(dtype).max + 1, (*size, 3)), dtype)


def opened(network: Network, weights: Weights | None = None) -> TorchEngine:
    model = Model(name="small", summary="", licence="", scales=(4,), network=network)
    return open_torch(model, weights or random_weights(network), device="cpu", precision="best")


def enlarged(engine: TorchEngine, pixels: Pixels) -> Pixels:
    engine.submit(pixels)
    return engine.result()


def rounded(network: Network, pixels: Pixels) -> Pixels:
    """What the published network makes of *pixels*."""
    peak = float(np.iinfo(pixels.dtype).max)
    planes = torch.from_numpy(pixels.astype(np.float32) / np.float32(peak)).permute(0, 3, 1, 2)
    large = published(network, random_weights(network), planes).permute(0, 2, 3, 1).numpy()
    return (large * np.float32(peak)).round().clip(0, peak).astype(pixels.dtype)


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
@pytest.mark.parametrize("size", [(1, 12, 16), (3, 8, 8)])
def test_bytes_are_what_the_published_network_rounds_to(network: Network, size: tuple[int, ...]) -> None:
    large = enlarged(opened(network), tiles(*size))
    assert large.dtype == np.uint8
    assert np.array_equal(large, rounded(network, tiles(*size)))


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_sixteen_bits_stay_sixteen_bits(network: Network) -> None:
    pixels = tiles(2, 12, 8, dtype=np.uint16)
    large = enlarged(opened(network), pixels)
    assert large.dtype == np.uint16
    assert large.max() > 40_000  # the upper half, where int16 is negative
    assert np.abs(large.astype(int) - rounded(network, pixels)).max() <= 1


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_a_tile_is_the_same_alone_and_in_a_batch(network: Network) -> None:
    engine, batch = opened(network), tiles(5, 9, 13)
    alone = [enlarged(engine, batch[k : k + 1]) for k in range(5)]
    assert np.array_equal(enlarged(engine, batch), np.concatenate(alone))


def test_a_large_batch_is_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, batch = opened(RRDB), tiles(5, 8, 8)
    whole = enlarged(engine, batch)
    monkeypatch.setattr(work, "BATCH_PIXELS", 2 * 8 * 8)
    shares: list[float] = []
    engine.submit(batch)
    assert np.array_equal(engine.result(shares.append), whole)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) == 3 * (RRDB.blocks + 1)


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_little_memory_changes_the_strips_and_nothing_else(network: Network) -> None:
    pixels, roomy, tight = tiles(1, 40, 12), opened(network), opened(network)
    assert isinstance(tight.body, NetworkBody)
    tight.body.free = lambda: 0
    assert np.array_equal(enlarged(tight, pixels), enlarged(roomy, pixels))


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
@pytest.mark.parametrize("size", [(1, 33, 50), (1, 1, 1), (2, 31, 64), (1, 64, 32)])
def test_replays_in_buckets_give_the_bytes_of_a_plain_run(network: Network, size: tuple[int, ...]) -> None:
    def record(function: Function, _samples: torch.Tensor, _valid: torch.Tensor | None) -> Function:
        recorded.append(function)
        return function

    recorded: list[Function] = []
    plain, engine = opened(network), opened(network)
    assert isinstance(engine.body, NetworkBody)
    engine.body.graphs = Graphs(record)
    wanted = enlarged(plain, tiles(*size))
    for _ in range(3):
        assert np.array_equal(enlarged(engine, tiles(*size)), wanted)
    assert len(recorded) == 1


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 7, 5), (2, 6, 9)])
def test_odd_sides_are_mirrored_to_even_ones_and_cut_off_again(size: tuple[int, ...]) -> None:
    network = RRDB.model_copy(update={"scale": 2, "unshuffle": 2})
    large = enlarged(opened(network), tiles(*size))
    count, height, width = size
    assert large.shape == (count, 2 * height, 2 * width, 3)
    evened = mirrored(tiles(*size), 2)
    assert np.array_equal(evened[:, : 2 * height, : 2 * width][:, -1], evened[:, height - 1])
    assert np.array_equal(large, rounded(network, evened)[:, : 2 * height, : 2 * width])


def test_tiles_may_be_a_view_that_nobody_may_write_to() -> None:
    whole = tiles(1, 12, 20)
    whole.flags.writeable = False
    cut = whole[:, 2:10, 4:12]
    assert np.array_equal(enlarged(opened(SRVGG), cut), rounded(SRVGG, np.ascontiguousarray(cut)))


def test_results_come_in_the_order_of_their_tiles() -> None:
    engine = opened(SRVGG)
    first, second, third = tiles(1, 8, 8), tiles(1, 6, 10), tiles(2, 5, 5)
    alone = [enlarged(engine, pixels) for pixels in (first, second, third)]
    engine.submit(first)
    engine.submit(second)
    assert np.array_equal(engine.result(), alone[0])
    engine.submit(third)
    assert np.array_equal(engine.result(), alone[1])
    assert np.array_equal(engine.result(), alone[2])


def test_a_third_batch_is_refused_and_the_two_go_on() -> None:
    engine = opened(SRVGG)
    engine.submit(tiles(1, 4, 4))
    engine.submit(tiles(1, 5, 5))
    with pytest.raises(RuntimeError, match="2 batches wait"):
        engine.submit(tiles(1, 6, 6))
    assert [engine.result().shape[1] for _ in range(2)] == [16, 20]
    with pytest.raises(RuntimeError, match="no batch"):
        engine.result()


def test_what_a_step_raises_abandons_that_batch_only() -> None:
    class StopError(Exception):
        pass

    def stop(_share: float) -> None:
        raise StopError

    engine = opened(SRVGG)
    engine.submit(tiles(1, 4, 4))
    engine.submit(tiles(1, 5, 5))
    with pytest.raises(StopError):
        engine.result(stop)
    assert np.array_equal(engine.result(), rounded(SRVGG, tiles(1, 5, 5)))


def halved(network: Network, weights: Weights) -> TorchEngine:
    """An engine in half precision: on this device, too, torch can count so."""
    engine = opened(network, weights)
    engine.precision = "fp16"
    return engine


def test_half_precision_is_near_to_float32() -> None:
    half, exact = (
        enlarged(halved(RRDB, random_weights(RRDB)), tiles(1, 16, 16)),
        enlarged(opened(RRDB), tiles(1, 16, 16)),
    )
    assert not np.array_equal(half, exact)
    assert np.abs(half.astype(int) - exact).max() <= 2


def overflowing(network: Network) -> Weights:
    """The same network to float32; its first features are beyond fp16."""
    weights = random_weights(network)
    weights[0] *= np.float32(2**18)
    weights[1] *= np.float32(2**18)
    weights[3] *= np.float32(2**-18)
    return weights


def test_half_precision_that_overflows_becomes_float32_for_good() -> None:
    engine = halved(SRVGG, overflowing(SRVGG))
    exact = opened(SRVGG, overflowing(SRVGG))
    engine.submit(tiles(1, 8, 8))
    engine.submit(tiles(2, 6, 6))
    assert np.array_equal(engine.result(), enlarged(exact, tiles(1, 8, 8)))
    assert engine.precision == "f32"
    assert np.array_equal(engine.result(), enlarged(exact, tiles(2, 6, 6)))
    assert np.array_equal(enlarged(engine, tiles(1, 4, 4)), enlarged(exact, tiles(1, 4, 4)))


def test_a_half_batch_behind_one_that_overflowed_is_not_trusted() -> None:
    engine = halved(SRVGG, overflowing(SRVGG))
    engine.submit(tiles(1, 8, 8))
    engine.submit(np.zeros((1, 8, 8, 3), np.uint8))
    engine.result()
    assert np.array_equal(
        engine.result(), enlarged(opened(SRVGG, overflowing(SRVGG)), np.zeros((1, 8, 8, 3), np.uint8))
    )


def test_sixteen_bits_are_never_computed_in_half_precision() -> None:
    pixels = tiles(1, 8, 8, dtype=np.uint16)
    engine = halved(SRVGG, random_weights(SRVGG))
    assert np.array_equal(enlarged(engine, pixels), enlarged(opened(SRVGG), pixels))
    assert engine.precision == "fp16"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), DeviceMemoryError),
        (torch.AcceleratorError("CUDA error: out of memory"), DeviceMemoryError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), DeviceMemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), DeviceMemoryError),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore"), DeviceLostError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceLostError),
    ],
)
def test_what_the_device_says_becomes_a_typed_error(
    error: RuntimeError, kind: type[PipelineError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> torch.Tensor:
        raise error

    engine = opened(RRDB)
    engine.submit(tiles(1, 4, 4))
    engine.submit(tiles(1, 5, 5))
    with monkeypatch.context() as patched:
        patched.setattr(TorchNetwork, "tail", fail)
        with pytest.raises(kind) as raised:
            engine.result()
    assert raised.value.retryable
    assert "\n" not in raised.value.detail
    assert np.array_equal(engine.result(), rounded(RRDB, tiles(1, 5, 5)))


def test_a_mistake_of_ours_is_no_error_of_the_device() -> None:
    assert typed(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")) is None


def test_memory_that_is_short_is_given_back_before_the_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[bool] = []
    engine = opened(SRVGG)
    enlarged(engine, tiles(1, 4, 4))
    assert isinstance(engine.body, NetworkBody)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(not engine.body._placed))
    monkeypatch.setattr(TorchNetwork, "trunk", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))
    engine.submit(tiles(1, 4, 4))
    with pytest.raises(DeviceMemoryError):
        engine.result()
    assert emptied == [True]


def test_a_released_engine_drops_what_waits_and_works_again() -> None:
    engine = opened(RRDB)
    engine.submit(tiles(1, 4, 4))
    engine.release()
    assert isinstance(engine.body, NetworkBody)
    assert not engine.body._placed
    with pytest.raises(RuntimeError, match="no batch"):
        engine.result()
    assert np.array_equal(enlarged(engine, tiles(1, 4, 4)), rounded(RRDB, tiles(1, 4, 4)))


def test_any_module_can_be_run() -> None:
    described = Module(architecture="Any", scale=3, multiple_px=4)
    engine = open_torch_module(
        torch.nn.Upsample(scale_factor=3, mode="nearest"), described, model="m-any", device="cpu", precision="best"
    )
    pixels = tiles(2, 5, 7)
    assert (engine.model, engine.scale, engine.grain_px, engine.precision) == ("m-any", 3, 4, "f32")
    assert engine.overlap_px == 64
    assert engine.tile_px % engine.grain_px == 0
    assert np.array_equal(enlarged(engine, pixels), pixels.repeat(3, axis=1).repeat(3, axis=2))


def test_a_module_that_must_not_be_cut_is_given_whole_pictures() -> None:
    described = Module(architecture="Any", scale=2, tiled=False)
    module = torch.nn.Upsample(scale_factor=2, mode="nearest")
    engine = open_torch_module(module, described, model="m-any", device="cpu", precision="best")
    assert engine.whole_pixels >= 1 << 20


def test_a_module_that_gives_nan_in_half_precision_is_run_in_float32() -> None:
    class Fragile(torch.nn.Module):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            return planes * (torch.nan if planes.dtype == torch.float16 else 1)

    engine = open_torch_module(
        Fragile(), Module(architecture="Any", scale=1), model="m-any", device="cpu", precision="best"
    )
    engine.precision = "fp16"
    assert np.array_equal(enlarged(engine, tiles(1, 6, 6)), tiles(1, 6, 6))
    assert engine.precision == "f32"


def test_values_that_are_no_numbers_in_float32_are_never_pixels() -> None:
    class Broken(torch.nn.Module):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            return planes * torch.inf

    engine = open_torch_module(
        Broken(), Module(architecture="Any", scale=1), model="m-any", device="cpu", precision="best"
    )
    with pytest.raises(NotFiniteError, match="m-any gave values that are no numbers"):
        enlarged(engine, tiles(1, 6, 6))


def test_two_engines_of_one_model_are_two() -> None:
    assert opened(SRVGG) != opened(SRVGG)


def test_a_card_that_is_lost_is_known_to_be_when_an_engine_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> tuple[int, int]:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lost)
    network = Network(architecture="srvgg", features=6, blocks=3, scale=4)
    model = Model(name="small", summary="", licence="", scales=(4,), network=network)
    with pytest.raises(DeviceLostError):
        open_torch(model, random_weights(network), device="cuda", precision="best")
