"""The same slices through what people would otherwise use."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.inferers import SliceInferer
from monai.networks.nets import FlexibleUNet
from torch import nn

from scripts.prediction.network.openvino_core import openvino_core
from scripts.training.precision import native_dtype

Call = Callable[[], Any]


def flexible_unet(volume: torch.Tensor, out_channels: int) -> Call:
    """MONAI's U-Net with a ResNet34, untrained, eager float32, by MONAI's SliceInferer."""
    network = FlexibleUNet(volume.shape[1], out_channels, "resnet34", pretrained=False).eval()
    inferer = SliceInferer(roi_size=tuple(volume.shape[2:4]), spatial_dim=2)

    def run() -> Any:
        with torch.no_grad():
            return inferer(volume, network)

    return run


def eager(volume: torch.Tensor, network: nn.Module) -> Call:
    """A network eager in float32, by MONAI's SliceInferer."""
    inferer = SliceInferer(roi_size=tuple(volume.shape[2:4]), spatial_dim=2)

    def run() -> Any:
        with torch.no_grad():
            return inferer(volume, network)

    return run


def engines(slices: torch.Tensor, network: nn.Module, folder: Path) -> dict[str, Call]:
    """ONNX Runtime and, where it is installed, OpenVINO on the exported network.

    Args:
        slices: (D, C, H, W).
        network: eager float32.
        folder: for the exported file.
    """
    path, threads = folder / "network.onnx", torch.get_num_threads()
    torch.onnx.export(network, (slices[:1],), path, dynamo=True, input_names=["image"])
    arrays = [one[None].numpy() for one in slices.contiguous()]
    found: dict[str, Call] = {}
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        found["ONNX Runtime, float32"] = lambda: [session.run(None, {"image": a}) for a in arrays]
    if importlib.util.find_spec("openvino"):
        model = openvino_core().read_model(path)
        native = {"bf16": "bfloat16"} if native_dtype("cpu") == torch.bfloat16 else {}
        for hint, name in {"f32": "float32", **native}.items():
            asked = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
            request = openvino_core().compile_model(model, "CPU", asked).create_infer_request()
            found[f"OpenVINO, {name}"] = lambda r=request: [r.infer({0: a}) for a in arrays]
    return found
