"""Files of trained weights as training writes them, of networks that were never trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scripts.bundle.model_file import NETWORK, content_of, settings_of, settings_of_config


def write_model(
    path: Path, network: nn.Module, configs: Path, settings: Mapping[str, Any] = {}
) -> str:
    """Write a network with the settings of a bundle's train.json, and others over them.

    The current folder must be the repository's root.
    """
    usual = settings_of_config(configs / "train.json")
    usual = {key: value for key, value in usual.items() if key != NETWORK}
    told = settings_of(network, {**usual, **settings})
    torch.save(content_of(network.state_dict(), told, {}), path)
    return str(path)
