"""Export of a package's network by ``torch.export`` to a ``.pt2`` file, TorchScript's successor.

The file says by itself what the network reads and what its outputs are. It is loaded with torch
alone::

    extra = {"network.json": ""}
    network = torch.export.load("model.pt2", extra_files=extra).module()
    logits = network(image)  # (B, C, H, W) in the window of network.json, mapped to [0, 1]
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from scripts.bundle.data_files import data_files
from scripts.packaging.network_format import EXAMPLE, spatial_dims
from scripts.running.reasons import one_line

METADATA, NETWORK = "metadata.json", "network.json"
"""Extra files of the ``.pt2``: the bundle's metadata, and what :func:`description_of` states."""
OF_THE_SOURCE = ("stack_trace", "source_fn_stack", "from_node")
"""Notes of the exporter on files of this machine."""
MODEL_SETTINGS = ("window_hu", "second_window_hu", "outside_window", "lung_masking")

Network = Callable[[torch.Tensor], torch.Tensor]


def exported(network: nn.Module, *, channels: int) -> ExportedProgram:
    """Export a network for any number of images, of any size that it accepts itself.

    Args:
        network: in eval mode, on the CPU.
        channels: of its input.

    Raises:
        ValueError: when torch cannot export it.
    """
    batch, *sides = EXAMPLE[spatial_dims(network)]
    free = dict.fromkeys((0, *range(2, 2 + len(sides))), Dim.DYNAMIC)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # from the exporter about its own code
            example = (torch.zeros(batch, channels, *sides),)
            program = torch.export.export(network, example, dynamic_shapes=(free,))
    except Exception as error:  # torch's exporter raises many types
        reason = one_line(error)[:300]
        raise ValueError(f"exports: torch cannot export this network as pt2: {reason}") from error
    for node in program.graph.nodes:
        for key in OF_THE_SOURCE:
            node.meta.pop(key, None)
    return program


def description_of(
    metadata: Mapping[str, Any], settings: Mapping[str, Any], *, weights_sha256: str
) -> dict[str, Any]:
    """Return what a ``.pt2`` says of its network: input, output, origin.

    Args:
        metadata: of the package.
        settings: of the model file; empty if it has none.
        weights_sha256: of the package's models/model.pt.
    """
    known = {**data_files(settings).numbers, **settings}  # the second window is of its data file
    formats = metadata["network_data_format"]
    image, pred = formats["inputs"]["image"], formats["outputs"]["pred"]
    return {
        "name": metadata.get("name", ""),
        "version": metadata["version"],
        "weights_sha256": weights_sha256,
        "channels": image["channel_def"],
        "labels": pred["channel_def"],
        "output": "logits",
        "spacing_mm": "that of the CT, which is not resampled",
        "orientation": "each slice with its rows from front to back, its columns from right to "
        "left; slices from feet to head",
        **{key: known[key] for key in MODEL_SETTINGS if key in known},
        "threshold": settings.get("threshold"),
        "pytorch_version": metadata["pytorch_version"],
    }


def write_program(
    network: nn.Module,
    path: Path,
    *,
    channels: int,
    metadata: Mapping[str, Any],
    description: Mapping[str, Any],
) -> Path:
    """Write a network as a ``.pt2`` with the metadata in its extra files.

    Args:
        network: in eval mode, on the CPU.
        path: the file; equal networks give equal bytes.
        channels: of the input.
        metadata: of the package.
        description: of :func:`description_of`.

    Raises:
        ValueError: when torch cannot export it.
    """
    extra = {METADATA: json.dumps(metadata), NETWORK: json.dumps(description)}
    program = exported(network, channels=channels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own formats
        torch.export.save(program, path, extra_files=extra)
    return path


def run_program(path: Path) -> Network:
    """Load a ``.pt2`` on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: Network = torch.export.load(path).module()
    return network
