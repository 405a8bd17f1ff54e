"""Recognises the two families of networks that are built here, whatever names their authors gave the layers.

ESRGAN (RRDBNet) goes by three sets of names: those of BasicSR, which are ours; those of the first ESRGAN (`model.0`,
`model.1.sub.4.RDB1.conv1.0`); and those between (`RRDB_trunk`, `HRconv`). Compact (SRVGGNetCompact) has one.
All sizes follow from shapes.
"""

import re
from collections.abc import Mapping
from math import isqrt
from typing import Final

import numpy as np

from pipeline.errors import PipelineError
from processors.models.pth import State
from processors.models.registry import Network, Weights

# numbers have three digits at most: a file of strangers must not say how long its names are worked on
_RENAMED: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^RRDB_trunk\.(\d{1,3})\.RDB(\d)\.conv(\d)\.", r"body.\1.rdb\2.conv\3."),
        (r"^model\.1\.sub\.(\d{1,3})\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
        (r"^model\.1\.sub\.\d{1,3}\.(weight|bias)$", r"conv_body.\1"),
        (r"^trunk_conv\.", "conv_body."),
        (r"^upconv(\d)\.", r"conv_up\1."),
        (r"^HRconv\.", "conv_hr."),
    )
)
_OLD_LAYER: Final = re.compile(r"^model\.(\d{1,3})\.(weight|bias)$")
#: Channels that the first convolution sees, and the side of the squares of pixels that were folded into them.
_UNSHUFFLES: Final = {3: 1, 12: 2, 48: 4}
_SCALES: Final = (1, 2, 4, 8)


def recognise(state: State) -> tuple[Network, Weights] | None:
    """Return the network that *state* holds, and its weights; None when it is of neither family.

    Raises:
        PipelineError: `model_unavailable` (the network is not one from three channels to three), `model_damaged` (a
            weight is no number).
    """
    renamed = _renamed(state)
    network = _rrdb(renamed) or _srvgg(renamed)
    if network is None or {name: array.shape for name, array in renamed.items()} != network.parameters():
        return None
    return network, arranged(renamed, network)


def arranged(state: State, network: Network) -> Weights:
    """Return *network*'s parameters as float32, in its order.

    Raises:
        PipelineError: `model_damaged`: one is missing, has another shape, or is not finite.
    """
    weights: Weights = []
    for name, shape in network.parameters().items():
        if name not in state or state[name].shape != shape:
            raise _damaged(f"its {name} is missing or has another shape than {shape}")
        weights.append(state[name].astype(np.float32))
        if not np.isfinite(weights[-1]).all():
            raise _damaged(f"its {name} holds values that are no numbers")
    return weights


def _renamed(state: State) -> State:
    """Give every layer the name it has in BasicSR. Two with one name leave a state that is no network's."""
    last = max((int(match[1]) for name in state if (match := _OLD_LAYER.match(name))), default=0)
    tail = {0: "conv_first", last - 2: "conv_hr", last: "conv_last"}
    tail |= {3 * k: f"conv_up{k}" for k in range(1, (last - 2) // 3 + 1)} if last else {}
    return {_new_name(name, tail): array for name, array in state.items()}


def _new_name(name: str, tail: Mapping[int, str]) -> str:
    if match := _OLD_LAYER.match(name):
        return f"{tail[int(match[1])]}.{match[2]}" if int(match[1]) in tail else name
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name


def _rrdb(state: State) -> Network | None:
    first, dense, last = (_kernel(state, f"{name}.weight") for name in ("conv_first", "body.0.rdb1.conv1", "conv_last"))
    if not (first and dense and last):
        return None
    if last[0] != 3 or first[1] not in _UNSHUFFLES:
        raise _unsupported(first[1], last[0])
    unshuffle = _UNSHUFFLES[first[1]]
    scale, rest = divmod(2 ** sum(bool(re.match(r"conv_up\d\.weight", name)) for name in state), unshuffle)
    if rest or scale not in _SCALES:
        return None
    return Network(
        architecture="rrdb",
        features=first[0],
        blocks=sum(bool(re.match(r"body\.\d{1,3}\.rdb1\.conv1\.weight", name)) for name in state),
        growth=dense[0],
        scale=scale,
        unshuffle=unshuffle,
    )


def _srvgg(state: State) -> Network | None:
    layers = [int(match[1]) for name in state if (match := re.match(r"body\.(\d{1,3})\.weight$", name))]
    last = max(layers, default=0)
    first, final = _kernel(state, "body.0.weight"), _kernel(state, f"body.{last}.weight")
    if not (first and final) or last < 4 or last % 2 or "body.1.weight" not in state:
        return None
    scale = isqrt(final[0] // 3)
    if first[1] != 3 or 3 * scale**2 != final[0]:
        raise _unsupported(first[1], final[0])
    return Network(architecture="srvgg", features=first[0], blocks=last // 2 - 1, scale=scale)


def _kernel(state: State, name: str) -> tuple[int, ...] | None:
    """Return the shape (out, in, 3, 3) of a convolution, None where there is none of that name."""
    shape = state[name].shape if name in state else ()
    return shape if len(shape) == 4 else None


def _unsupported(inputs: int, outputs: int) -> PipelineError:
    return PipelineError(
        f"its first convolution sees {inputs} channels and its last gives {outputs}: it is not for RGB pictures",
        code="model_unavailable",
        hint="Choose another model.",
    )


def _damaged(what: str) -> PipelineError:
    return PipelineError(
        f"The weights cannot be used: {what}.",
        code="model_damaged",
        hint="Fetch the file again, from somebody you trust.",
    )
