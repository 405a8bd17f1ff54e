import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from processors.models.pth import read_pth
from processors.models.registry import Network
from tests.golden.networks import build

COMPACT = Network(architecture="srvgg", features=6, blocks=3, scale=4)
DENSE = Network(architecture="rrdb", features=8, blocks=2, growth=4, scale=4)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("1 + 1",))


@pytest.mark.parametrize("network", [COMPACT, DENSE], ids=lambda network: network.architecture)
@pytest.mark.parametrize("wrap", ["params_ema", "params", None])
def test_what_torch_saved_is_read_without_torch(network: Network, wrap: str | None, tmp_path: Path) -> None:
    state = build(network).state_dict()
    torch.save({wrap: state} if wrap else state, tmp_path / "a.pth")
    read = read_pth(tmp_path / "a.pth", network=network)
    expected = [state[name].numpy() for name in network.parameters()]
    assert list(state) == list(network.parameters())
    assert all(np.array_equal(a, b) for a, b in zip(read, expected, strict=True))


def test_the_averaged_weights_win_over_the_last_ones(tmp_path: Path) -> None:
    averaged, last = build(COMPACT).state_dict(), build(COMPACT).state_dict()
    torch.save({"params": last, "params_ema": averaged}, tmp_path / "a.pth")
    assert np.array_equal(read_pth(tmp_path / "a.pth", network=COMPACT)[0], averaged["body.0.weight"].numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    state = build(COMPACT).to(dtype).state_dict()
    torch.save(state, tmp_path / "a.pth")
    read = read_pth(tmp_path / "a.pth", network=COMPACT)
    assert read[0].dtype == np.float32
    assert np.array_equal(read[0], state["body.0.weight"].float().numpy())


def test_views_into_one_shared_storage_are_read(tmp_path: Path) -> None:
    shared = torch.arange(200.0)
    state = build(COMPACT).state_dict()
    state["body.0.bias"] = shared[50:56]
    torch.save(state, tmp_path / "a.pth")
    read = read_pth(tmp_path / "a.pth", network=COMPACT)
    assert read[1].tolist() == [50, 51, 52, 53, 54, 55]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def replace_pickle(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)


def save(path: Path, change: dict[str, Any]) -> None:
    torch.save(build(COMPACT).state_dict() | change, path)


@pytest.mark.parametrize(
    "spoil",
    [
        cut,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"<html>not found</html>"),
        lambda path: torch.save(build(DENSE).state_dict(), path),
        lambda path: torch.save(build(COMPACT).state_dict(), path, _use_new_zipfile_serialization=False),
        lambda path: save(path, {"body.0.bias": torch.zeros(7)}),
        lambda path: save(path, {"body.2.weight": build(COMPACT).state_dict()["body.2.weight"].transpose(0, 1)}),
        lambda path: replace_pickle(path, b""),
        lambda path: replace_pickle(path, pickle.dumps([1, 2])),
        lambda path: replace_pickle(path, pickle.dumps({"params": Hostile()})),
        lambda path: zipfile.ZipFile(path, "w").close(),
    ],
)
def test_anything_else_is_a_damaged_model(spoil: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save(path, {})
    spoil(path)
    with pytest.raises(PipelineError) as caught:
        read_pth(path, network=COMPACT)
    assert caught.value.code == "model_damaged"


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    replace_pickle(tmp_path / "a.pth", pickle.dumps(Hostile()))
    with pytest.raises(PipelineError, match=r"names builtins\.eval"):
        read_pth(tmp_path / "a.pth", network=COMPACT)
