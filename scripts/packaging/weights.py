"""The trained weights of a package: read, compared with the network, written as one file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from scripts.bundle.config_files import Config
from scripts.bundle.model_file import NETWORK, ModelFile, bare
from scripts.training.weights.trained_weights import TrainedWeights


def trained_network(config: Config, ckpt_path: Path, *, unchecked_model: bool = False) -> nn.Module:
    """Build the network of a config, on the CPU, with trained weights in it.

    Args:
        config: flattened; its ``network_def`` and ``model_settings`` are evaluated.
        ckpt_path: what training wrote, or a package's model.pt.
        unchecked_model: accept a file that does not say how it was trained.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it holds no weights, or those of another network or input.
    """
    parser = ConfigParser(config=dict(config))
    network: nn.Module = parser.get_parsed_content(NETWORK)
    settings = parser.get_parsed_content("model_settings") if "model_settings" in parser else None
    TrainedWeights(network, ckpt_path, settings=settings, unchecked_model=unchecked_model).load()
    return network.eval()


def weights_file(network: nn.Module, model: ModelFile) -> bytes:
    """Write a network's state_dict as ``torch.save`` does, equal weights to equal bytes.

    ``monai.bundle.load``, ``ckpt_export`` and MONAI Label take it as a bare state_dict; what it is
    stays with it, see :func:`scripts.bundle.model_file.bare`.
    """
    stream = io.BytesIO()
    torch.save(bare(model, network.state_dict()), stream)
    return stream.getvalue()


def check_ports(network: nn.Module, metadata: dict[str, Any]) -> None:
    """Refuse metadata that state other numbers of channels than the network has.

    Raises:
        ValueError: naming both numbers.
    """
    formats = metadata["network_data_format"]
    taken = formats["inputs"]["image"]["num_channels"]
    stated = formats["outputs"]["pred"]["num_channels"]
    try:
        with torch.no_grad():
            found = network(torch.zeros(1, taken, 64, 64)).shape[1]
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"metadata.json: states {taken} input channels, which the network refuses: {error}"
        ) from error
    if found != stated:
        raise ValueError(
            f"metadata.json: states {stated} output channels, the network has {found}; change "
            "num_channels and channel_def of pred"
        )
