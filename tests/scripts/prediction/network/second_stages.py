"""A small second stage as its training writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from custom_nets.classifier import TransferClassifier
from custom_nets.encoders import ENCODERS
from scripts.bundle.model_file import content_of, settings_of
from tests.custom_nets.tiny import TinyEncoder

SETTINGS = {
    "input_kind": "crops",
    "window_hu": [-1000, 400],
    "outside_window": "zero",
    "in_channels": 3,
    "out_channels": 1,
    "class_names": ["nodule"],
    "patch_size": [32, 32],
}


def write_reducer(path: Path, threshold: float, **settings: Any) -> TransferClassifier:
    """A classifier whose probabilities rise with the brightness of the crop, as a file."""
    ENCODERS.setdefault(TinyEncoder.name, TinyEncoder)
    torch.manual_seed(0)
    network = TransferClassifier("tiny", in_channels=3, normalise="none").eval()
    with torch.no_grad():
        for weight in network.encoder.parameters():
            if weight.ndim == 4:
                weight.fill_(1.6 / weight[0].numel())
        network.score.weight.fill_(5.0)
        network.score.bias.fill_(-6.0)
    stored = settings_of(network, {**SETTINGS, **settings})
    content = content_of(network.state_dict(), stored, {"cases": [], "salt": ""})
    point = {"threshold": threshold, "keep": 0.95, "nodules": 4, "nodules_kept": 4}
    torch.save({**content, "operating_point": point}, path)
    return network
