import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.DnCNN import DnCNN
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SPAN import SPAN

from pipeline.errors import PipelineError
from processors.engines.spandrel_modules import examine, load_module
from processors.models import community, registry, weights
from processors.models.community import examine_dropped
from processors.models.registry import Model, Network, find_model, models
from processors.models.weights import load_weights
from processors.report import model_rows
from tests.golden.networks import build
from tests.unit.test_pth import OLD, Hostile

NETWORK = Network(architecture="srvgg", features=6, blocks=3, scale=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models"
    made.mkdir()
    return made


def drop(path: Path, state: Any = None) -> Path:
    state = build(NETWORK).state_dict() if state is None else state
    if path.suffix == ".safetensors":
        save_file(dict(state), path)
    else:
        torch.save(state, path)
    return path


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    """What the folder adds to the listing."""
    return {row["name"]: row for row in model_rows(folder) if row["licence"] == "unknown"}


def reason_of(path: Path) -> str:
    (row,) = rows(path.parent).values()
    assert row["available"] is False
    assert "start the worker again" in row["remedy"]
    return str(row["reason"])


@pytest.mark.parametrize("file", ["4x_Nice Model.pth", "4x_Nice Model.safetensors", "4x_Nice Model.PTH"])
def test_a_dropped_file_becomes_a_model(file: str, folder: Path) -> None:
    state = build(NETWORK).state_dict()
    drop(folder / file, state)
    assert rows(folder) == {
        "4x_nice-model": {
            "name": "4x_nice-model",
            "summary": f"{file} of the model folder",
            "scales": [4],
            "architecture": "srvgg",
            "denoises": False,
            "licence": "unknown",
            "source": file,
            "available": True,
            "reason": None,
            "remedy": None,
        }
    }
    model = find_model("4x_nice-model", folder)
    assert model.network == NETWORK
    loaded = load_weights(model, folder)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(loaded, state.values(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "netG."])
def test_any_precision_and_known_prefix_gives_the_same_numbers(
    dtype: torch.dtype, suffix: str, prefix: str, folder: Path
) -> None:
    state = {name: tensor.to(dtype) for name, tensor in build(NETWORK).state_dict().items()}
    drop(folder / f"a{suffix}", {prefix + name: tensor for name, tensor in state.items()})
    examine_dropped(folder, examine=examine)
    loaded = load_weights(find_model("a", folder), folder)
    assert all(np.array_equal(a, b.float().numpy()) for a, b in zip(loaded, state.values(), strict=True))


def test_a_file_from_before_torch_1_6_becomes_a_model(folder: Path) -> None:
    torch.save(ESRGAN(num_filters=8, num_blocks=1).state_dict(), folder / "old.pth", **OLD)
    assert rows(folder)["old"]["architecture"] == "rrdb"


def test_jobs_read_only_what_was_converted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = drop(folder / "a.pth")
    examine_dropped(folder, examine=examine)
    path.write_bytes(b"changed since the worker started")
    monkeypatch.setattr(pickle, "Unpickler", None)
    assert len(load_weights(find_model("a", folder), folder)) == len(NETWORK.parameters())


def test_a_file_is_converted_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(folder / "a.pth")
    examine_dropped(folder, examine=examine)
    monkeypatch.setattr(community, "read_checkpoint", lambda path: pytest.fail(f"{path} was read again"))
    before = (folder / "a.pth.npz").stat().st_ino
    examine_dropped(folder, examine=examine)
    assert (folder / "a.pth.npz").stat().st_ino == before


def test_a_changed_file_is_converted_again(folder: Path) -> None:
    drop(folder / "a.pth")
    examine_dropped(folder, examine=examine)
    drop(folder / "a.pth", ESRGAN(num_filters=8, num_blocks=1, scale=2).state_dict())
    assert rows(folder)["a"]["scales"] == [2]
    model = find_model("a", folder)
    assert model.network
    assert len(load_weights(model, folder)) == len(model.network.parameters())


def test_a_lost_conversion_is_made_again(folder: Path) -> None:
    drop(folder / "a.pth")
    examine_dropped(folder, examine=examine)
    (folder / "a.pth.npz").unlink()
    with pytest.raises(PipelineError, match=r"a\.pth\.npz is missing") as caught:
        load_weights(find_model("a", folder), folder)
    assert caught.value.code == "model_unavailable"
    assert rows(folder)["a"]["available"]
    assert load_weights(find_model("a", folder), folder)


def test_a_removed_file_is_a_model_no_more(folder: Path) -> None:
    path = drop(folder / "a.pth")
    assert list(rows(folder)) == ["a"]
    path.unlink()
    assert rows(folder) == {}
    with pytest.raises(PipelineError) as caught:
        find_model("a", folder)
    assert caught.value.code == "model_unknown"


def test_a_model_of_the_registry_keeps_its_name(folder: Path) -> None:
    drop(folder / "RealESRGAN-x4plus.pth")
    (row,) = rows(folder).values()
    assert row["name"] == "RealESRGAN-x4plus.pth"
    assert row["reason"] == "the name realesrgan-x4plus is taken: rename the file"
    assert find_model("realesrgan-x4plus", folder) == find_model("realesrgan-x4plus")


def test_of_two_files_with_one_name_the_first_keeps_it(folder: Path) -> None:
    drop(folder / "a.pth")
    drop(folder / "a.safetensors", ESRGAN(num_filters=8, num_blocks=1).state_dict())
    found = rows(folder)
    assert found["a"]["source"] == "a.pth"
    assert "rename" in found["a.safetensors"]["reason"]
    assert len(load_weights(find_model("a", folder), folder)) == len(NETWORK.parameters())


def truncate(path: Path) -> None:
    path.write_bytes(drop(path).read_bytes()[:-200])


@pytest.mark.parametrize(
    ("file", "spoil", "said"),
    [
        ("a.pth", truncate, "cannot be read"),
        ("a.safetensors", truncate, "cannot be read"),
        ("a.pth", Path.touch, "cannot be read"),
        ("a.safetensors", Path.touch, "cannot be read"),
        ("a.pth", lambda path: path.write_bytes(pickle.dumps(Hostile())), "names builtins.eval"),
        ("a.pth", lambda path: torch.save({"a": torch.zeros(3)}, path), "spandrel does not know its architecture"),
        ("a.pth", lambda path: torch.save({}, path), "spandrel does not know its architecture"),
        ("a.safetensors", lambda path: drop(path, {"a": torch.zeros(3, dtype=torch.float8_e5m2)}), "type F8_E5M2"),
        (
            "a.pth",
            lambda path: drop(path, ESRGAN(in_nc=1, out_nc=1, num_filters=8, num_blocks=1).state_dict()),
            "not for RGB pictures",
        ),
        (
            "a.pth",
            lambda path: drop(path, DnCNN(in_nc=1, out_nc=1, nc=4, act_mode="R").state_dict()),
            "not for RGB pictures",
        ),
        ("a.pth", lambda path: drop(path, {"body.0.weight": torch.zeros(3), "body.1.weight": torch.zeros(1)}), "build"),
        ("日本.pth", drop, "no letter or digit"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_hides_no_other(
    file: str, spoil: Callable[[Path], object], said: str, folder: Path
) -> None:
    spoil(folder / file)
    assert said in reason_of(folder / file)
    drop(folder / "good.safetensors")
    found = rows(folder)
    assert [name for name, row in found.items() if row["available"]] == ["good"]
    (bad,) = found.keys() - {"good"}
    with pytest.raises(PipelineError, match=file) as caught:
        find_model(bad, folder)
    assert caught.value.code == "model_unavailable"


def test_a_mended_file_is_tried_again(folder: Path) -> None:
    truncate(folder / "a.pth")
    assert "cannot be read" in reason_of(folder / "a.pth")
    drop(folder / "a.pth")
    assert rows(folder)["a"]["available"]


def test_what_was_not_examined_is_listed_with_the_reason(folder: Path) -> None:
    drop(folder / "a.pth")
    assert models(folder)["a"].reason == registry._UNREAD
    (folder / "a.pth.json").write_text(json.dumps({"sha256": "0", "model": {"name": "of another version"}}))
    assert models(folder)["a"].reason == registry._UNREAD


def test_a_folder_that_cannot_be_written_stops_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(folder / "a.pth")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(community, "save_weights", refuse)
    assert "folder that it can write to" in reason_of(folder / "a.pth")


def test_other_files_of_the_folder_are_no_models(folder: Path) -> None:
    for name in ("a.txt", ".hidden.pth", "\n.pth", "\udcff.pth", "a.npz", "b.pth.part"):
        (folder / name).touch()
    (folder / "folder.pth").mkdir()
    assert rows(folder) == {}
    assert rows(folder / "missing") == {}


def test_the_families_built_here_need_no_torch(folder: Path) -> None:
    drop(folder / "a.pth")
    drop(folder / "b.safetensors", ESRGAN(num_filters=8, num_blocks=1).state_dict())
    lines = [
        "import sys; from pathlib import Path; from processors.report import model_rows",
        f"rows = {{row['name']: row for row in model_rows(Path({str(folder)!r}))}}",
        "print(rows['a']['available'], rows['b']['available'], 'torch' in sys.modules, 'spandrel' in sys.modules)",
    ]
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert ran.stdout == "True True False False\n"


@pytest.fixture
def without_spandrel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda _name: None)


def span() -> torch.nn.Module:
    torch.manual_seed(0)
    made: torch.nn.Module = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=12, upscale=2)
    return made.eval()


def module_of(folder: Path, name: str) -> tuple[Model, torch.nn.Module]:
    examine_dropped(folder, examine=examine)
    model = find_model(name, folder)
    return model, load_module(model, folder)


def test_a_model_of_another_family_runs_as_spandrel_builds_it(folder: Path) -> None:
    made = span()
    drop(folder / "2x-Span.pth", {"params": made.state_dict()})
    model, module = module_of(folder, "2x-span")
    assert model.module
    assert (model.module.architecture, model.module.scale, model.scales) == ("SPAN", 2, (2,))
    assert (model.network, model.is_kernel) == (None, False)
    picture = torch.rand(1, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(module(picture), made(picture).clamp(0, 1))
    assert next(module.parameters()).dtype == torch.float32


def test_a_module_runs_in_the_precision_that_it_was_copied_to(folder: Path) -> None:
    drop(folder / "a.safetensors", span().state_dict())
    copied = deepcopy(module_of(folder, "a")[1]).double()
    assert copied(torch.rand(1, 3, 8, 8, dtype=torch.float64)).dtype == torch.float64


def test_a_layer_with_a_number_beyond_any_network_hides_no_other_file(folder: Path) -> None:
    drop(folder / "huge.pth", {f"model.{'9' * 5000}.weight": torch.zeros(3, 3, 3, 3)})
    drop(folder / "good.pth", {"params": span().state_dict()})
    examine_dropped(folder, examine=examine)
    assert find_model("good", folder).module
    with pytest.raises(PipelineError, match="cannot be used"):
        find_model("huge", folder)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 5)])
def test_a_module_takes_pictures_of_any_size(size: tuple[int, int], folder: Path) -> None:
    drop(folder / "a.safetensors", span().state_dict())
    _, module = module_of(folder, "a")
    assert module(torch.rand(1, 3, *size)).shape == (1, 3, 2 * size[0], 2 * size[1])


def test_a_module_is_converted_too_and_its_pickle_never_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(folder / "a.pth", span().state_dict())
    examine_dropped(folder, examine=examine)
    path.write_bytes(b"changed")
    monkeypatch.setattr(torch, "load", None)
    assert load_module(find_model("a", folder), folder)


def test_an_official_model_without_weights_says_how_to_get_them(folder: Path) -> None:
    (row,) = (row for row in model_rows(folder) if row["name"] == "realesrnet-x4plus")
    assert (row["available"], row["reason"]) == (False, "its weights are not here")
    assert row["remedy"].startswith("python -m processors models pull realesrnet-x4plus;")


@pytest.mark.usefixtures("without_spandrel")
def test_another_family_without_the_extra_says_what_is_missing(folder: Path) -> None:
    path = drop(folder / "a.pth", span().state_dict())
    assert "needs the spandrel extra" in reason_of(path)
    assert "pip install" in rows(folder)["a"]["remedy"]


def test_a_recognised_module_is_unavailable_once_the_extra_is_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(folder / "a.pth", span().state_dict())
    examine_dropped(folder, examine=examine)
    model = find_model("a", folder)
    monkeypatch.setattr(weights, "find_spec", lambda _name: None)
    assert "needs the spandrel extra" in reason_of(path)
    assert "pip install" in rows(folder)["a"]["remedy"]
    with pytest.raises(PipelineError, match="spandrel extra") as caught:
        load_module(model, folder)
    assert caught.value.code == "model_unavailable"


def test_an_installed_extra_is_noticed_at_the_next_start(folder: Path) -> None:
    drop(folder / "a.pth", span().state_dict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "find_spec", lambda _name: None)
        assert not rows(folder)["a"]["available"]
    assert rows(folder)["a"]["available"]
