"""The rearranged networks against the published form, written anew here: concatenations, factors and doublings."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as f

from processors.engines.torch_networks import TorchNetwork, split_phases
from processors.engines.torch_work import in_bucket, strip
from processors.models.registry import Network, Weights

CPU = torch.device("cpu")
RRDB = Network(architecture="rrdb", features=8, blocks=2, growth=4, scale=4)
SRVGG = Network(architecture="srvgg", features=8, blocks=3, scale=4)
SHAPES = {
    "x4": RRDB,
    "x1": RRDB.model_copy(update={"scale": 1}),
    "x2": RRDB.model_copy(update={"scale": 2}),
    "x8": RRDB.model_copy(update={"scale": 8}),
    "x2 of squares": RRDB.model_copy(update={"scale": 2, "unshuffle": 2}),
    "x1 of squares": RRDB.model_copy(update={"scale": 1, "unshuffle": 4}),
    "compact x4": SRVGG,
    "compact x2": SRVGG.model_copy(update={"scale": 2}),
}


def random_weights(network: Network) -> Weights:
    rng = np.random.default_rng(7)
    shapes = network.parameters().values()
    return [rng.normal(0, np.prod(shape[1:] or (9,)) ** -0.5, shape).astype(np.float32) for shape in shapes]


def planes(*size: int) -> torch.Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(3))


def published(network: Network, weights: Weights, picture: torch.Tensor) -> torch.Tensor:
    arrays = iter([torch.from_numpy(array) for array in weights])
    run = published_rrdb if network.architecture == "rrdb" else published_srvgg
    with torch.inference_mode():
        return run(network, arrays, picture)


def convolve(x: torch.Tensor, arrays: Iterator[torch.Tensor]) -> torch.Tensor:
    return f.conv2d(x, next(arrays), next(arrays), padding=1)


def published_rrdb(network: Network, arrays: Iterator[torch.Tensor], picture: torch.Tensor) -> torch.Tensor:
    first = trunk = convolve(f.pixel_unshuffle(picture, network.unshuffle), arrays)
    for _ in range(network.blocks):
        block = trunk
        for _ in range(3):
            features = [block]
            for _ in range(4):
                features.append(f.leaky_relu(convolve(torch.cat(features, 1), arrays), 0.2))
            block = convolve(torch.cat(features, 1), arrays) * 0.2 + block
        trunk = block * 0.2 + trunk
    x = first + convolve(trunk, arrays)
    for _ in range(network.doublings):
        x = f.leaky_relu(convolve(f.interpolate(x, scale_factor=2.0), arrays), 0.2)
    return convolve(f.leaky_relu(convolve(x, arrays), 0.2), arrays)


def published_srvgg(network: Network, arrays: Iterator[torch.Tensor], picture: torch.Tensor) -> torch.Tensor:
    x = picture
    for _ in range(network.blocks + 1):
        x = f.prelu(convolve(x, arrays), next(arrays))
    return f.pixel_shuffle(convolve(x, arrays), network.scale) + f.interpolate(picture, scale_factor=network.scale)


@cache
def on_cpu(network: Network) -> TorchNetwork:
    return TorchNetwork(network, random_weights(network), device=CPU, dtype=torch.float32)


def features_of(network: TorchNetwork, picture: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    steps = network.trunk(picture, valid)
    shares = []
    with torch.inference_mode():
        while True:
            try:
                shares.append(next(steps))
            except StopIteration as stopped:
                assert shares == sorted(shares)
                assert 0 < shares[0] < shares[-1] <= 1
                features: torch.Tensor = stopped.value
                return features


@pytest.mark.parametrize("network", SHAPES.values(), ids=SHAPES.keys())
def test_the_rearranged_network_is_the_published_one(network: Network) -> None:
    picture = planes(2, 3, 12, 20)
    ours = on_cpu(network)
    features = features_of(ours, f.pixel_unshuffle(picture, network.unshuffle))
    with torch.inference_mode():
        enlarged = ours.tail(features)
    theirs = published(network, random_weights(network), picture)
    assert enlarged.shape == (2, 3, 12 * network.scale, 20 * network.scale)
    assert theirs.abs().max() > 0.3
    assert (enlarged - theirs).abs().max() <= 1e-5


@given(st.integers(1, 6), st.integers(1, 6))
def test_four_small_kernels_before_a_doubling_are_one_behind_it(height: int, width: int) -> None:
    kernel = planes(5, 4, 3, 3).double() - 0.5
    picture = planes(1, 4, height, width).double()
    phases = f.conv2d(picture, torch.from_numpy(split_phases(kernel.numpy())), padding=1).reshape(
        2, 2, 5, height + 1, -1
    )
    ours = torch.empty(1, 5, 2 * height, 2 * width).double()
    for row in (0, 1):
        for column in (0, 1):
            ours[0, :, row::2, column::2] = phases[row, column, :, row : row + height, column : column + width]
    theirs = f.conv2d(f.interpolate(picture, scale_factor=2.0), kernel, padding=1)
    assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("network", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 11])
def test_a_tail_in_strips_is_the_whole_tail(network: Network, rows: int) -> None:
    ours = on_cpu(network)
    features = features_of(ours, planes(1, 3 * network.unshuffle**2, 11, 9))
    with torch.inference_mode():
        strips = [strip(ours, features, top, min(top + rows, 11)) for top in range(0, 11, rows)]
        assert torch.equal(torch.cat(strips, 2), ours.tail(features))


def test_a_halo_of_one_pixel_less_would_not_do() -> None:
    ours = on_cpu(RRDB)
    features = features_of(ours, planes(1, 3, 12, 9))
    with torch.inference_mode():
        cut = ours.tail(features[:, :, :6])[:, :, : 5 * 4]
        assert not torch.equal(cut, ours.tail(features)[:, :, : 5 * 4])


@pytest.mark.parametrize("network", [RRDB, SHAPES["x2 of squares"], SRVGG], ids=["rrdb", "rrdb of squares", "srvgg"])
@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 33), width=st.integers(1, 33))
def test_a_bucket_changes_nothing_up_to_the_last_pixel_of_the_border(network: Network, height: int, width: int) -> None:
    ours = on_cpu(network)
    picture = planes(1, 3 * network.unshuffle**2, height, width)
    padded, valid = in_bucket(picture)
    bucketed = features_of(ours, padded, valid)
    assert {side % 32 for side in bucketed.shape[2:]} == {0}
    assert (
        bucketed[:, :, :height, :width] - features_of(ours, picture)
    ).abs().max() <= 4e-6  # convolutions add up in another order at another size


def test_zeros_without_the_mask_change_the_border() -> None:
    ours = on_cpu(RRDB)
    picture = planes(1, 3, 20, 20)
    padded, valid = in_bucket(picture)
    assert valid is not None
    assert (features_of(ours, padded)[:, :, :20, :20] - features_of(ours, picture)).abs().max() > 1e-3


def test_a_picture_that_fills_its_bucket_needs_no_mask() -> None:
    padded, valid = in_bucket(planes(1, 3, 64, 32))
    assert valid is None
    assert padded.shape == (1, 3, 64, 32)
