"""What models exist and what their weights must look like. Reads registry.toml; opens no weight file."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from pipeline.errors import PipelineError

#: One network's parameters, float32, in the order of `Network.parameters`. Feeds every engine.
Weights: TypeAlias = list[npt.NDArray[np.float32]]

Shapes: TypeAlias = dict[str, tuple[int, ...]]

_REGISTRY: Final = Path(__file__).with_name("registry.toml")

# An RRDB sees 94 (6 blocks) to 349 (23 blocks) pixels around itself; beyond 64 they move an 8-bit value by 1 at most
_RRDB_OVERLAP_PX: Final = 64


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Entry):
    """One published file: where it comes from (a URL, or the package that carries it) and what it must be."""

    name: str
    source: str
    bytes: int
    sha256: str


class Network(_Entry):
    """An architecture with its sizes: RRDBNet (`rrdb`) or SRVGGNetCompact (`srvgg`), both from BasicSR."""

    architecture: Literal["rrdb", "srvgg"]
    features: int
    blocks: int
    growth: int = 0
    scale: int

    @property
    def overlap_px(self) -> int:
        """How far a tile must read beyond what it keeps: exact for srvgg (one pixel per convolution)."""
        return _RRDB_OVERLAP_PX if self.architecture == "rrdb" else self.blocks + 2

    @property
    def tile_px(self) -> int:
        """The longest side of a tile: some 3 GB at 12 kB (rrdb) and 1 GB at 0.8 kB (srvgg) of float32 per pixel."""
        return 512 if self.architecture == "rrdb" else 1024

    def parameters(self) -> Shapes:
        """The official parameter names in order, with their shapes: convolutions are (out, in, 3, 3)."""
        return _rrdb(self) if self.architecture == "rrdb" else _srvgg(self)


class Model(_Entry):
    """One model: a network with weights, or a kernel (`network` is None). `scales`: the factors its release names."""

    name: str
    summary: str
    licence: str
    scales: tuple[int, ...]
    network: Network | None = None
    release: File | None = None
    wheel: tuple[File, ...] = ()


@cache
def models() -> Mapping[str, Model]:
    """Every model by name, in the order of the registry file."""
    entries = tomllib.loads(_REGISTRY.read_text(encoding="utf-8"))
    return MappingProxyType({name: Model(name=name, **entry) for name, entry in entries.items()})


def find_model(name: str) -> Model:
    """Look a model up.

    Raises:
        PipelineError: `model_unknown`.
    """
    if name not in models():
        hint = f"Choose one of: {', '.join(models())}."
        raise PipelineError(f"There is no model named {name!r}.", code="model_unknown", hint=hint)
    return models()[name]


def _conv(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, 3, 3), f"{name}.bias": (outputs,)}


def _rrdb(net: Network) -> Shapes:
    shapes = _conv("conv_first", 3, net.features)
    for block in range(net.blocks):
        for dense in (1, 2, 3):
            for k in range(5):
                outputs = net.growth if k < 4 else net.features
                shapes |= _conv(f"body.{block}.rdb{dense}.conv{k + 1}", net.features + k * net.growth, outputs)
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        shapes |= _conv(name, net.features, net.features)
    return shapes | _conv("conv_last", net.features, 3)


def _srvgg(net: Network) -> Shapes:
    shapes: Shapes = {}
    for k in range(net.blocks + 1):
        shapes |= _conv(f"body.{2 * k}", net.features if k else 3, net.features)
        shapes[f"body.{2 * k + 1}.weight"] = (net.features,)
    return shapes | _conv(f"body.{2 * net.blocks + 2}", net.features, 3 * net.scale**2)
