from collections.abc import Callable

import numpy as np
import pytest

from pipeline.errors import PipelineError
from processors.models.ncnn import read_ncnn
from processors.models.registry import Network, Weights

COMPACT = Network(architecture="srvgg", features=3, blocks=2, scale=2)  # 81 fp16 numbers: two bytes of padding
DENSE = Network(architecture="rrdb", features=4, blocks=1, growth=2, scale=4)


def random_weights(network: Network) -> Weights:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s).astype(np.float16).astype(np.float32) for s in network.parameters().values()]


def write_param(network: Network) -> bytes:
    layers = ["Input in 0 1 data"]
    for shape in network.parameters().values():
        if len(shape) == 4:
            outputs, inputs = shape[:2]
            layers.append(
                f"Convolution c 1 1 a b 0={outputs} 1=3 4=1 5=1 6={outputs * inputs * 9} 9=2 -23310=1,2.0e-01"
            )
        elif layers[-1].startswith("Convolution") and network.architecture == "srvgg" and layers[-1][-1] != "#":
            layers[-1] += " #"  # its bias: the next vector is a slope
        else:
            layers.append(f"PReLU p 1 1 b a 0={shape[0]}")
    layers = [layer for layer in layers if network.architecture == "srvgg" or not layer.startswith("PReLU")]
    return f"7767517\n{len(layers)} 99\n{chr(10).join(layers)}\n".encode()


def write_bin(weights: Weights) -> bytes:
    parts = []
    for array in weights:
        if array.ndim == 4:
            numbers = array.astype("<f2").tobytes()
            parts += [bytes.fromhex("476b3001"), numbers, b"\0" * (-len(numbers) % 4)]
        else:
            parts.append(array.astype("<f4").tobytes())
    return b"".join(parts)


@pytest.mark.parametrize("network", [COMPACT, DENSE], ids=lambda network: network.architecture)
def test_what_was_written_is_read(network: Network) -> None:
    weights = random_weights(network)
    read = read_ncnn(write_param(network), write_bin(weights), network=network)
    assert all(np.array_equal(a, b) for a, b in zip(read, weights, strict=True))
    assert {array.dtype for array in read} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "damage",
    [
        lambda param, data: (param, data[:-1]),
        lambda param, data: (param, data + b"\0"),
        lambda param, data: (param, data[:100]),
        lambda param, data: (param, b""),
        lambda param, data: (param, b"\1" + data[1:]),
        lambda param, data: (b"", data),
        lambda param, data: (param[:-30], data),
        lambda param, data: (param.replace(b"7767517", b"7767518"), data),
        lambda param, data: (param.replace(b"0=3 1=3", b"0=3 1=5"), data),
        lambda param, data: (param.replace(b" 6=81", b" 6=x"), data),
        lambda param, data: (write_param(DENSE), data),
        lambda param, data: (b"\xff\n" + param, data),
    ],
)
def test_a_damaged_file_is_a_damaged_model(damage: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> None:
    param, data = damage(write_param(COMPACT), write_bin(random_weights(COMPACT)))
    with pytest.raises(PipelineError) as caught:
        read_ncnn(param, data, network=COMPACT)
    assert caught.value.code == "model_damaged"
    assert "models pull" in caught.value.hint
