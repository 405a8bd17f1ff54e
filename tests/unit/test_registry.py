import re
from math import prod

import pytest

from pipeline.errors import PipelineError
from processors.models.registry import Model, Network, find_model, models

NETWORKS = [entry for entry in models().values() if entry.network]


def test_the_registry_names_every_promised_model() -> None:
    names = ["realesrgan-x4plus", "realesrgan-x4plus-anime", "realesr-animevideov3", "bicubic", "lanczos"]
    assert list(models()) == names
    assert find_model("realesr-animevideov3").scales == (2, 3, 4)


@pytest.mark.parametrize("entry", NETWORKS, ids=lambda entry: entry.name)
def test_every_file_says_where_it_comes_from_and_what_it_must_be(entry: Model) -> None:
    assert entry.release
    assert entry.release.source.startswith("https://github.com/xinntao/Real-ESRGAN/releases/download/v")
    assert entry.release.source.endswith(entry.release.name)
    assert [file.name.rsplit(".")[-1] for file in entry.wheel] == ["param", "bin"]
    for file in (entry.release, *entry.wheel):
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.bytes > 0


@pytest.mark.parametrize(
    ("name", "count"),
    [("realesrgan-x4plus", 16_697_987), ("realesrgan-x4plus-anime", 4_467_779), ("realesr-animevideov3", 621_424)],
)
def test_networks_have_the_published_number_of_parameters(name: str, count: int) -> None:
    network = find_model(name).network
    assert network
    assert sum(prod(shape) for shape in network.parameters().values()) == count


def test_the_overlap_of_a_compact_network_is_its_number_of_convolutions() -> None:
    network = Network(architecture="srvgg", features=8, blocks=5, scale=2)
    assert network.overlap_px == sum(len(shape) == 4 for shape in network.parameters().values())


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(PipelineError) as caught:
        find_model("realesrgan-x5")
    assert caught.value.code == "model_unknown"
    assert all(name in caught.value.hint for name in models())
