"""Networks of other families than the two that are built here, by way of the package `spandrel`, on torch."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import PipelineError
from processors.models.pth import State
from processors.models.registry import Model, Module
from processors.models.weights import converted_path, has_spandrel, load_arrays

if TYPE_CHECKING:
    import torch
    from spandrel import ImageModelDescriptor


def examine(state: State) -> Module:
    """Say what spandrel makes of weights.

    Raises:
        PipelineError: `model_unavailable`: it is not installed, does not know them, or they enlarge no RGB picture.
    """
    if not has_spandrel():
        raise _unavailable(
            "it is of neither family that is built in, and needs the spandrel extra (spandrel and torch)"
        )
    network = _build(state)
    return Module(
        architecture=network.architecture.name,
        scale=network.scale,
        multiple_px=network.size_requirements.multiple_of,
        tiled=network.tiling.name == "SUPPORTED",
        half=network.supports_half,
    )


def load_module(model: Model, models_dir: Path) -> "torch.nn.Module":
    """Return the network of a model whose `module` is set: float32, on the processor, in evaluation mode.

    It maps (1, 3, H, W) RGB of 0..1 to (1, 3, H * scale, W * scale) of 0..1, from 1x1 up: it pads by mirroring what the
    network cannot take, and cuts off what exceeds the range, infinities too. NaN stays.

    Raises:
        PipelineError: `model_unavailable`, `model_damaged`.
    """
    if model.module is None:
        raise ValueError(f"{model.name} is no model for spandrel")
    path = converted_path(model, models_dir)
    if not has_spandrel() or not path.exists():
        raise _unavailable(f"{model.name} needs the spandrel extra, and {path.name} in the model folder")
    return _callable(_build(load_arrays(path)))


def _callable(network: "ImageModelDescriptor[torch.nn.Module]") -> "torch.nn.Module":
    """Make a module of what spandrel returns: only its own call pads, and picks one of several results."""
    import torch

    class Padded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.model

        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            called = copy.copy(network)  # which holds the module that was loaded, and not where this one was copied to
            called._model = self.network  # noqa: SLF001 - spandrel has no other way to exchange it
            enlarged: torch.Tensor = called(planes)
            return enlarged

    return Padded().eval()


def _build(state: State) -> "ImageModelDescriptor[torch.nn.Module]":
    import torch
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
    try:
        network = ModelLoader(device="cpu").load_from_state_dict(tensors)
    except UnsupportedModelError as error:
        raise _unavailable("spandrel does not know its architecture") from error
    except Exception as error:  # forty architectures, each with its own way to fail on weights it did not expect
        raise _unavailable(f"spandrel cannot build it: {error or type(error).__name__}") from error
    if not isinstance(network, ImageModelDescriptor) or network.purpose not in {"SR", "Restoration"}:
        raise _unavailable(f"it is made for {network.purpose}, not to enlarge pictures")
    if (network.input_channels, network.output_channels) != (3, 3):
        raise _unavailable(
            f"it makes {network.output_channels} channels of {network.input_channels}: not for RGB pictures"
        )
    return network.float()


def _unavailable(what: str) -> PipelineError:
    return PipelineError(
        what, code="model_unavailable", hint="Choose another model; `python -m processors models ls` lists them."
    )
