"""Export of a package's network to ONNX, for ONNX Runtime and other programs than torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from monai.networks.utils import convert_to_onnx
from torch import nn

from scripts.packaging.network_format import EXAMPLE, spatial_dims
from scripts.storage.files import atomic_path


def export_onnx(network: nn.Module, path: Path, *, channels: int) -> Path:
    """Export a network with input ``image`` and output ``pred``, for any batch and size.

    The exporter's notes on source files on this machine are removed.

    Args:
        network: network in eval mode, on the CPU.
        path: file to write.
        channels: number of input channels.

    Raises:
        ValueError: when torch cannot export it.
    """
    batch, *sides = EXAMPLE[spatial_dims(network)]
    free = dict.fromkeys((0, *range(2, 2 + len(sides))), torch.export.Dim.DYNAMIC)
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    registry.setLevel(logging.ERROR)  # it warns that torchvision, which is not used, is absent
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from the exporter about its own code
            model = convert_to_onnx(
                network,
                [torch.zeros(batch, channels, *sides)],
                input_names=["image"],
                output_names=["pred"],
                dynamic_shapes=(free,),
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # torch's exporter raises many types
        raise ValueError(f"exports: torch cannot export this network as onnx: {error}") from error
    _remove_sources(model)
    with atomic_path(path) as part:
        onnx.save(model, str(part))
    return path


def _remove_sources(model: Any) -> None:
    """Remove the exporter's notes from all nodes and values of an ONNX model."""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        values = () if graph is not model.graph else (*graph.input, *graph.output)
        initial = () if graph is not model.graph else graph.initializer
        for item in (graph, *graph.node, *graph.value_info, *values, *initial):
            item.doc_string = ""
            del item.metadata_props[:]


def run_onnx(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """Load an ONNX file with ONNX Runtime on the CPU, as a function of tensors.

    It can be used as the network of MONAI's inferers.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def network(image: torch.Tensor) -> torch.Tensor:
        (pred,) = session.run(["pred"], {"image": np.ascontiguousarray(image.numpy())})
        return torch.from_numpy(pred)

    return network
