from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN

from pipeline.errors import PipelineError
from processors.models.families import arranged, recognise
from processors.models.pth import State
from processors.models.registry import Network
from tests.golden.networks import build, load

DENSE = Network(architecture="rrdb", features=8, blocks=2, growth=32, scale=4)


def state_of(module: torch.nn.Module) -> State:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def random_state(network: Network) -> State:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(s).astype(np.float32) for name, s in network.parameters().items()}


def between(name: str) -> str:
    """The name that a layer has in ESRGAN after its first release, and in BSRGAN."""
    for ours, theirs in (("rdb", "RDB"), ("conv_body", "trunk_conv"), ("conv_up", "upconv"), ("conv_hr", "HRconv")):
        name = name.replace(ours, theirs)
    return name.replace("body.", "RRDB_trunk.") if name.startswith("body.") else name


def recognised(state: State) -> Network:
    found = recognise(state)
    assert found
    return found[0]


@pytest.mark.parametrize(("inner", "unshuffle"), [(1, 1), (2, 1), (4, 1), (8, 1), (4, 2), (4, 4), (2, 2), (8, 2)])
@pytest.mark.parametrize("blocks", [1, 3])
def test_every_size_of_the_first_esrgan_follows_from_its_shapes(inner: int, unshuffle: int, blocks: int) -> None:
    module = ESRGAN(
        in_nc=3 * unshuffle**2,
        num_filters=8,
        num_blocks=blocks,
        scale=inner,
        shuffle_factor=unshuffle if unshuffle > 1 else None,
    )
    state = state_of(module)
    network, weights = recognise(state) or pytest.fail("not recognised")
    assert network == DENSE.model_copy(update={"blocks": blocks, "scale": inner // unshuffle, "unshuffle": unshuffle})
    assert "model.0.weight" in state
    assert all(np.array_equal(a, b) for a, b in zip(weights, state.values(), strict=True))


@pytest.mark.parametrize("rename", [str, between])
@pytest.mark.parametrize(
    "network",
    [
        DENSE,
        Network(architecture="rrdb", features=6, blocks=11, growth=3, scale=2),
        Network(architecture="rrdb", features=6, blocks=1, growth=3, scale=2, unshuffle=2),
    ],
)
def test_the_later_names_of_esrgan_are_understood(network: Network, rename: Callable[[str], str]) -> None:
    state = random_state(network)
    found, weights = recognise({rename(name): array for name, array in state.items()}) or pytest.fail("not recognised")
    assert found == network
    assert all(np.array_equal(a, b) for a, b in zip(weights, state.values(), strict=True))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_every_size_of_a_compact_network_follows_from_its_shapes(scale: int) -> None:
    state = state_of(Compact(num_feat=6, num_conv=3, upscale=scale))
    assert recognised(state) == Network(architecture="srvgg", features=6, blocks=3, scale=scale)


def test_a_first_esrgan_enlarges_as_spandrel_says() -> None:
    module = ESRGAN(num_filters=8, num_blocks=2).eval()
    network, weights = recognise(state_of(module)) or pytest.fail("not recognised")
    picture = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = load(network, weights)(picture), module(picture)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert theirs.std() > 1e-4


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_become_float32(dtype: Any) -> None:
    state = {name: array.astype(dtype) for name, array in random_state(DENSE).items()}
    _, weights = recognise(state) or pytest.fail("not recognised")
    assert all(a.dtype == np.float32 for a in weights)
    assert all(np.array_equal(a, b.astype(np.float32)) for a, b in zip(weights, state.values(), strict=True))


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"conv_first.weight": np.zeros(3)},
        {"model.0.weight": np.zeros((8, 3, 3, 3))},
        state_of(ESRGAN(num_filters=8, num_blocks=1, plus=True)),
        state_of(Compact(num_feat=6, num_conv=3, act_type="leakyrelu")),
        state_of(build(DENSE)) | {"extra.weight": np.zeros(1)},
        state_of(build(DENSE)) | {"body.1.rdb2.conv3.weight": np.zeros((32, 8, 3, 3))},
        {name: array for name, array in state_of(build(DENSE)).items() if name != "body.1.rdb3.conv5.bias"},
    ],
)
def test_what_is_not_exactly_of_a_family_is_left_to_others(state: State) -> None:
    assert recognise(state) is None


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (ESRGAN(in_nc=1, out_nc=1, num_filters=8, num_blocks=1), "sees 1 channels and its last gives 1"),
        (ESRGAN(in_nc=4, out_nc=4, num_filters=8, num_blocks=1), "sees 4 channels"),
        (ESRGAN(in_nc=3, out_nc=1, num_filters=8, num_blocks=1), "its last gives 1"),
        (Compact(num_in_ch=1, num_out_ch=1, num_feat=6, num_conv=3), "sees 1 channels"),
    ],
)
def test_a_network_that_is_not_for_colour_pictures_is_refused(module: torch.nn.Module, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        recognise(state_of(module))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    state = random_state(DENSE)
    state["conv_hr.bias"][3] = value
    with pytest.raises(PipelineError, match=r"conv_hr\.bias holds values that are no numbers"):
        recognise(state)


def test_a_release_that_is_another_network_is_damaged() -> None:
    with pytest.raises(PipelineError, match="missing or has another shape") as caught:
        arranged(random_state(DENSE), DENSE.model_copy(update={"features": 9}))
    assert caught.value.code == "model_damaged"
