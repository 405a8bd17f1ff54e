import re
from math import prod
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.options import Options
from processors.models.registry import Model, Network, dropped, find_model, models

NETWORKS = [entry for entry in models().values() if entry.network]


def test_the_registry_names_every_promised_model() -> None:
    assert list(models()) == [
        "realesrgan-x4plus",
        "realesrgan-x4plus-anime",
        "realesrgan-x2plus",
        "realesrnet-x4plus",
        "realesr-general-x4v3",
        "realesr-animevideov3",
        "bicubic",
        "lanczos",
    ]
    assert find_model("realesr-animevideov3").scales == (2, 3, 4)


@pytest.mark.parametrize("entry", NETWORKS, ids=lambda entry: entry.name)
def test_every_file_says_where_it_comes_from_and_what_it_must_be(entry: Model) -> None:
    assert entry.release
    releases = [entry.release, entry.weak] if entry.weak else [entry.release]
    for file in releases:
        assert file.source.startswith("https://github.com/xinntao/Real-ESRGAN/releases/download/v")
        assert file.source.endswith(f"/{file.name}")
    assert [file.name.rsplit(".")[-1] for file in entry.wheel] in ([], ["param", "bin"])
    for file in (*releases, *entry.wheel):
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.bytes > 0


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("realesrgan-x4plus", 16_697_987),
        ("realesrgan-x4plus-anime", 4_467_779),
        ("realesrgan-x2plus", 16_703_171),
        ("realesrnet-x4plus", 16_697_987),
        ("realesr-general-x4v3", 1_213_296),
        ("realesr-animevideov3", 621_424),
    ],
)
def test_networks_have_the_published_number_of_parameters(name: str, count: int) -> None:
    network = find_model(name).network
    assert network
    assert sum(prod(shape) for shape in network.parameters().values()) == count


def test_only_the_general_model_has_a_second_network_to_mix() -> None:
    assert [entry.name for entry in models().values() if entry.denoises] == ["realesr-general-x4v3"]


def test_the_overlap_of_a_compact_network_is_its_number_of_convolutions() -> None:
    network = Network(architecture="srvgg", features=8, blocks=5, scale=2)
    assert network.overlap_px == sum(len(shape) == 4 for shape in network.parameters().values())


@pytest.mark.parametrize(
    ("blocks", "scale", "unshuffle", "overlap"),
    [(23, 4, 1, 64), (23, 2, 2, 128), (23, 1, 4, 256), (1, 4, 1, 19), (2, 2, 2, 68), (1, 1, 1, 19)],
)
def test_the_overlap_of_an_rrdb_is_counted_in_input_pixels(
    blocks: int, scale: int, unshuffle: int, overlap: int
) -> None:
    network = Network(architecture="rrdb", features=8, blocks=blocks, growth=4, scale=scale, unshuffle=unshuffle)
    assert network.overlap_px == overlap
    assert network.overlap_px % unshuffle == network.tile_px % unshuffle == 0
    assert network.tile_px > 2 * overlap


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("unshuffle", [1, 2, 4])
def test_a_network_that_folds_its_input_doubles_so_much_more_often(scale: int, unshuffle: int) -> None:
    network = Network(architecture="rrdb", features=4, blocks=1, growth=2, scale=scale, unshuffle=unshuffle)
    names = [name for name in network.parameters() if name.startswith("conv_up") and name.endswith("weight")]
    assert len(names) == network.doublings
    assert 2**network.doublings == scale * unshuffle
    folded = torch.nn.functional.pixel_unshuffle(torch.zeros(1, 3, 8, 8), unshuffle)
    assert network.parameters()["conv_first.weight"][1] == folded.shape[1]


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(PipelineError) as caught:
        find_model("realesrgan-x5")
    assert caught.value.code == "model_unknown"
    assert all(name in caught.value.hint for name in models())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("4x-UltraSharp.pth", "4x-ultrasharp"),
        ("4x_foolhardy_Remacri.pth", "4x_foolhardy_remacri"),
        ("1x NoiseToner (v2).safetensors", "1x-noisetoner--v2-"),
        ("_private.pth", "private"),
        (f"{'a' * 80}.pth", "a" * 64),
    ],
)
def test_a_dropped_model_is_named_after_its_file(file: str, name: str) -> None:
    assert dropped(Path(file)).name == name


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=90))
def test_the_name_of_a_usable_dropped_model_can_be_asked_for(stem: str) -> None:
    model = dropped(Path(f"{stem}.pth"))
    assert model.reason or Options(model=model.name).model == model.name
