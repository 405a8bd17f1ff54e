import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from processors.models.pth import read_pth
from processors.models.registry import Network
from tests.golden.networks import build

COMPACT = Network(architecture="srvgg", features=6, blocks=3, scale=4)
OLD = {"_use_new_zipfile_serialization": False}


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("1 + 1",))


def state_of(network: Network = COMPACT) -> dict[str, torch.Tensor]:
    return dict(build(network).state_dict())


@pytest.fixture(params=[{}, OLD], ids=["zip", "before-1.6"])
def saved_as(request: pytest.FixtureRequest) -> dict[str, bool]:
    return dict(request.param)


@pytest.mark.parametrize("wrap", ["params_ema", "params", "state_dict", None])
def test_what_torch_saved_is_read_without_torch(wrap: str | None, saved_as: dict[str, bool], tmp_path: Path) -> None:
    state = build(COMPACT).state_dict()  # an OrderedDict with attributes
    torch.save({wrap: state, "iteration": 400_000} if wrap else state, tmp_path / "a.pth", **saved_as)
    read = read_pth(tmp_path / "a.pth")
    assert list(read) == list(state)
    assert all(np.array_equal(read[name], state[name].numpy()) for name in state)


def test_the_averaged_weights_win_over_the_last_ones(tmp_path: Path) -> None:
    averaged, last = state_of(), state_of()
    torch.save({"params": last, "params_ema": averaged}, tmp_path / "a.pth")
    assert np.array_equal(read_pth(tmp_path / "a.pth")["body.0.weight"], averaged["body.0.weight"].numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_other_types_keep_their_values(dtype: torch.dtype, saved_as: dict[str, bool], tmp_path: Path) -> None:
    values = torch.linspace(0, 3, 24).reshape(2, 3, 4).to(dtype)
    torch.save({"a": values}, tmp_path / "a.pth", **saved_as)
    assert read_pth(tmp_path / "a.pth")["a"].astype(np.float64).tolist() == values.double().tolist()


@pytest.mark.parametrize(
    "view",
    [
        lambda shared: shared[50:56],
        lambda shared: shared[7],
        lambda shared: shared[:0],
        lambda shared: shared[::3],
        lambda shared: shared.reshape(10, 20).T,
        lambda shared: shared.reshape(2, 2, 5, 10).permute(3, 1, 0, 2)[2:7, :, 1:],
        lambda shared: shared.reshape(2, 4, 5, 5).to(memory_format=torch.channels_last),
        lambda shared: torch.nn.Parameter(shared[3:9]),
    ],
)
def test_views_into_a_shared_storage_are_read(view: Any, saved_as: dict[str, bool], tmp_path: Path) -> None:
    shared = torch.arange(200.0)
    torch.save({"view": view(shared), "all": shared}, tmp_path / "a.pth", **saved_as)
    read = read_pth(tmp_path / "a.pth")["view"]
    assert read.shape == view(shared).shape
    assert read.tolist() == view(shared).tolist()
    assert read.flags.c_contiguous


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def replace_pickle(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)


def compress(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def save_old(path: Path, spoil: Any) -> None:
    torch.save(state_of(), path, **OLD)
    path.write_bytes(spoil(path.read_bytes()))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, "cannot be read"),
        (compress, "compressed"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "cannot be read"),
        (lambda path: path.write_bytes(2 * pickle.dumps({"a": 1})), "no file of torch.save"),
        (lambda path: save_old(path, lambda data: data[:-1]), "bytes, not"),
        (lambda path: save_old(path, lambda data: data[:-300]), "cannot be read"),
        (lambda path: torch.save({"a": torch.zeros(1).expand(10**9)}, path), "more numbers"),
        (lambda path: torch.save(build(COMPACT), path), "names tests.golden.networks.SRVGGNetCompact"),
        (lambda path: torch.save([1, 2], path), "no named tensors"),
        (lambda path: replace_pickle(path, b""), "cannot be read"),
        (lambda path: replace_pickle(path, pickle.dumps({"params": Hostile()})), "builtins.eval"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "cannot be read"),
        (lambda path: path.unlink(), "No such file"),
    ],
)
def test_anything_else_is_a_damaged_model(spoil: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(state_of(), path)
    spoil(path)
    with pytest.raises(PipelineError, match=said) as caught:
        read_pth(path)
    assert caught.value.code == "model_damaged"


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: pickle.dumps(0x1950A86A20F9469CFC6C) + data])
def test_a_hostile_pickle_runs_nothing(wrap: Any, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(wrap(pickle.dumps(Hostile())))
    with pytest.raises(PipelineError, match=r"names builtins\.eval"):
        read_pth(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (201,), (1,)),
        (1, (200,), (1,)),
        (-1, (3,), (1,)),
        (0, (3, 3), (100, 1)),
        (0, (2,), (-1,)),
        (0, ("2",), (1,)),
    ],
)
def test_a_tensor_cannot_show_what_is_not_its_own(
    offset: int, size: tuple[int, ...], stride: tuple[int, ...], tmp_path: Path
) -> None:
    class Forged:
        def __reduce__(self) -> tuple[Any, ...]:
            storage = torch.arange(200.0)._typed_storage()  # type: ignore[no-untyped-call]
            return torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, {})

    torch.save({"a": Forged()}, tmp_path / "a.pth")
    with pytest.raises(PipelineError, match="tensor"):
        read_pth(tmp_path / "a.pth")


def test_a_pickle_cannot_ask_for_memory_that_the_file_does_not_fill(tmp_path: Path) -> None:
    far = pickle.PROTO + b"\2" + pickle.EMPTY_DICT + pickle.LONG_BINPUT + b"\0\0\0\x7f" + pickle.STOP
    replace_pickle(tmp_path / "a.pth", far)
    with pytest.raises(PipelineError, match="not written by torch"):
        read_pth(tmp_path / "a.pth")


@pytest.fixture
def whole(saved_as: dict[str, bool], tmp_path: Path) -> bytes:
    """A file, once for all examples: the old kind names its storages by their addresses, so its length varies."""
    torch.save({"a": torch.arange(6.0), "b": torch.ones(2, 3)}, tmp_path / "whole.pth", **saved_as)
    return (tmp_path / "whole.pth").read_bytes()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_whatever_is_changed_in_a_file_it_is_read_or_refused(whole: bytes, tmp_path: Path, data: st.DataObject) -> None:
    path, spoiled = tmp_path / "a.pth", bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(spoiled)
    with suppress(PipelineError):
        assert sum(array.size for array in read_pth(path).values()) <= 12
