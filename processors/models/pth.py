"""Reads a `.pth` file (what `torch.save` writes) without torch, into numpy arrays.

Since torch 1.6 the file is a zip: one pickle that names tensors, and one member of raw numbers per storage. Before, it
was five pickles (a magic number, a version, sizes of C types, the tensors, the names of the storages) and then, for
each storage, its length and its numbers. The unpickler knows a dozen harmless names and refuses every other, so a
hostile file can call nothing.
"""

import pickle
import pickletools
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError

Array: TypeAlias = npt.NDArray[np.generic]

#: Arrays by the names that a training framework gave them.
State: TypeAlias = dict[str, Array]

#: What numpy has no type for: the upper half of a float32.
BFLOAT16: Final = "bf16"

_STORAGES: Final = {
    "BFloat16Storage": BFLOAT16,
    "BoolStorage": "|b1",
    "ByteStorage": "|u1",
    "CharStorage": "|i1",
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "ShortStorage": "<i2",
}
#: Where checkpoints keep their weights, the averaged ones of training first.
_WRAPS: Final = ("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "model", "net")

_OLD_MAGIC: Final = 0x1950A86A20F9469CFC6C
_OLD_VERSION: Final = 1001


class _Storage(NamedTuple):
    kind: str
    key: str
    length: int

    @property
    def bytes(self) -> int:
        return self.length * (2 if self.kind == BFLOAT16 else np.dtype(self.kind).itemsize)


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_pth(path: Path) -> State:
    """Return the tensors of a checkpoint by name, out of whatever it wraps them in.

    Raises:
        PipelineError: `model_damaged`: no such file, cut short, or a pickle that names anything but tensors.
    """
    try:
        return _read(path)
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        AttributeError,
        DeprecationWarning,
        EOFError,
        LookupError,
        MemoryError,
        OSError,
        OverflowError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise PipelineError(
            f"The weights in {path.name} cannot be read: {error or type(error).__name__}",
            code="model_damaged",
            hint="Fetch the file again, from somebody you trust.",
        ) from error


def numbers(data: bytes, kind: str) -> Array:
    """Return raw little-endian numbers as a flat array; *kind* is a numpy type or `BFLOAT16`, which becomes float32."""
    if kind == BFLOAT16:
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, kind)


def _read(path: Path) -> State:
    limit = path.stat().st_size
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                return _read_zip(archive, limit)
        file.seek(0)
        return _read_old(file, limit)


def _read_zip(archive: zipfile.ZipFile, limit: int) -> State:
    root = archive.namelist()[0].split("/")[0]
    with archive.open(_stored(archive, f"{root}/data.pkl")) as file:
        tensors = _unwrapped(_unpickled(file)[0])

    def read(storage: _Storage) -> Array:
        data = archive.read(_stored(archive, f"{root}/data/{storage.key}"))
        return numbers(_whole(data, storage), storage.kind)

    return _arrays(tensors, read, limit)


def _stored(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Find a member; one that is compressed is none of torch's and could unfold into any size."""
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED:
        raise pickle.UnpicklingError(f"its member {name} is compressed")
    return member


def _read_old(file: IO[bytes], limit: int) -> State:
    header = [_unpickled(file)[0] for _ in range(2)]
    if header != [_OLD_MAGIC, _OLD_VERSION]:
        raise pickle.UnpicklingError("it is no file of torch.save")
    _unpickled(file)  # sizes of C types, which no weights depend on
    loaded, storages = _unpickled(file)
    read: dict[str, Array] = {}
    for key in _unpickled(file)[0]:
        storage = storages[key]
        if int.from_bytes(file.read(8), "little") != storage.length or storage.bytes > limit:
            raise pickle.UnpicklingError(f"its storage {key} has another length than its tensors say")
        read[key] = numbers(_whole(file.read(storage.bytes), storage), storage.kind)
    return _arrays(_unwrapped(loaded), lambda storage: read[storage.key], limit)


def _unpickled(file: IO[bytes]) -> tuple[Any, dict[str, _Storage]]:
    """Load the pickle that starts here, and the storages it refers to. *file* stands behind it then."""
    start = file.tell()
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # pickletools warns of escapes that no name has
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            # a memo is filled in order; a number far ahead would make `pickle` allocate all that lies between
            if opcode.name.endswith("PUT") and int(argument or 0) > count:
                raise pickle.UnpicklingError("its pickle was not written by torch")
    file.seek(start)
    unpickler = _Unpickler(file)
    return unpickler.load(), unpickler.storages


def _whole(data: bytes, storage: _Storage) -> bytes:
    if len(data) != storage.bytes:
        raise pickle.UnpicklingError(f"its storage {storage.key} has {len(data)} bytes, not {storage.bytes}")
    return data


def _unwrapped(loaded: object) -> dict[str, _Tensor]:
    """Find the tensors in what was unpickled: under one of the known names, or two of them."""
    if not isinstance(loaded, dict):
        raise pickle.UnpicklingError("it holds no named tensors")
    for _ in range(2):
        loaded = next((loaded[name] for name in _WRAPS if isinstance(loaded.get(name), dict)), loaded)
    return {name: tensor for name, tensor in loaded.items() if isinstance(tensor, _Tensor)}


def _arrays(tensors: dict[str, _Tensor], read: Callable[[_Storage], Array], limit: int) -> State:
    if sum(prod(tensor.size) for tensor in tensors.values()) > limit:
        raise pickle.UnpicklingError("its tensors hold more numbers than the file has bytes")
    return {name: _array(tensor, read(tensor.storage)) for name, tensor in tensors.items()}


def _array(tensor: _Tensor, storage: Array) -> Array:
    """Copy the part of a storage that a tensor shows, in the order of its own axes."""
    _, offset, size, stride = tensor
    steps = [(side - 1) * step for side, step in zip(size, stride, strict=True)]
    if min(offset, *size, *stride, 0) < 0 or offset + sum(steps) >= storage.size:
        raise pickle.UnpicklingError(f"a tensor of shape {size} and strides {stride} reaches beyond its storage")
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, [step * storage.itemsize for step in stride])
    return np.array(view, order="C")


class _Unpickler(pickle.Unpickler):
    """Knows tensors and nothing else; `pickle` offers no way to say so but inheritance."""

    def __init__(self, file: Any) -> None:  # noqa: ANN401 - pickle wants a readable
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as in pickle
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return partial(_rebuild_tensor)  # a new object each time: a pickle can set attributes of what it is given
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return partial(_rebuild_parameter)
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401 - as in pickle
        tag, kind, key, _device, length, *view = pid
        if tag != "storage" or kind not in _STORAGES.values() or not isinstance(length, int) or any(view):
            raise pickle.UnpicklingError("it refers to something that is no storage")
        return self.storages.setdefault(str(key), _Storage(kind, str(key), length))


def _rebuild_tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_gradient: object
) -> _Tensor:
    if not isinstance(storage, _Storage) or not all(isinstance(n, int) for n in (offset, *size, *stride)):
        raise pickle.UnpicklingError("a tensor is described by something else than numbers")
    return _Tensor(storage, offset, tuple(size), tuple(stride))


def _rebuild_parameter(tensor: _Tensor, *_gradient: object) -> _Tensor:
    return tensor
