"""Trained weights of a package: loading, check against the metadata, serialisation."""

from __future__ import annotations

import io
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from scripts.bundle.components import built
from scripts.bundle.compose import Composition
from scripts.bundle.config_files import Config
from scripts.bundle.model_file import NETWORK, ModelFile, bare
from scripts.training.weights.trained_weights import TrainedWeights

SETTINGS = "model_settings"


def trained_network(config: Config, ckpt_path: Path, *, unchecked_model: bool = False) -> nn.Module:
    """Build the network of a config on the CPU, and load trained weights into it.

    Args:
        config: flattened config; its ``network_def`` and ``model_settings`` are evaluated.
        ckpt_path: model file of a training or a package.
        unchecked_model: accept a file that does not say how it was trained.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it contains no weights, or those of another network or input; for a config
            whose network cannot be built.
    """
    parser = ConfigParser(config=dict(config))
    written = Composition(("configs/inference.json",), deepcopy(dict(config)))
    network: nn.Module = built(parser, NETWORK, written)
    settings = built(parser, SETTINGS, written) if SETTINGS in parser else None
    TrainedWeights(network, ckpt_path, settings=settings, unchecked_model=unchecked_model).load()
    return network.eval()


def weights_file(network: nn.Module, model: ModelFile) -> bytes:
    """Serialise a network's state_dict with ``torch.save``; equal weights give equal bytes.

    ``monai.bundle.load``, ``ckpt_export`` and MONAI Label read it as a bare state_dict. Settings
    and record are an attribute of it, see :func:`scripts.bundle.model_file.bare`.
    """
    stream = io.BytesIO()
    torch.save(bare(model, network.state_dict()), stream)
    return stream.getvalue()


def check_ports(network: nn.Module, metadata: dict[str, Any]) -> None:
    """Check that the metadata state the network's numbers of channels.

    Raises:
        ValueError: when they differ, with both numbers.
    """
    formats = metadata["network_data_format"]
    inputs = formats["inputs"]["image"]["num_channels"]
    stated = formats["outputs"]["pred"]["num_channels"]
    try:
        with torch.no_grad():
            outputs = network(torch.zeros(1, inputs, 64, 64)).shape[1]
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"metadata.json: states {inputs} input channels, which the network refuses: {error}"
        ) from error
    if outputs != stated:
        raise ValueError(
            f"metadata.json: states {stated} output channels, the network has {outputs}; change "
            "num_channels and channel_def of pred"
        )
