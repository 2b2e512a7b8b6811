"""Small networks for nodules, as training writes them."""

from __future__ import annotations

import torch

from custom_nets.classifier import TransferClassifier
from custom_nets.unet import TransferUNet
from scripts.bundle.model_file import content_of, settings_of
from scripts.bundle.training_scans import hashed_case

WINDOW = {"window_hu": [-1000.0, 400.0], "outside_window": "zero", "threshold": 0.5}


def write_unet(path, encoder, *, seen=(), selected=(), **settings):
    """A U-Net with random weights."""
    torch.manual_seed(0)
    classes = settings.get("out_channels", 1)
    network = TransferUNet(encoder, out_channels=classes, decoder_channels=[4] * 5)
    usual = {**WINDOW, "in_channels": 3, "out_channels": 1, "lung_masking": False}
    return _write(path, network, {**usual, **settings}, seen, selected)


def write_classifier_of_crops(path, encoder, *, seen=(), selected=(), **settings):
    torch.manual_seed(1)
    network = TransferClassifier(encoder)
    usual = {"input_kind": "crops", "in_channels": 3, "out_channels": 1, "patch_size": [32, 32]}
    return _write(path, network, {**WINDOW, **usual, **settings}, seen, selected)


def _write(path, network, settings, seen, selected):
    names = {"cases": seen, "validation_cases": selected}
    data = {key: [hashed_case(scan, "salt") for scan in scans] for key, scans in names.items()}
    data["salt"] = "salt"
    torch.save(content_of(network.state_dict(), settings_of(network, settings), data), path)
    return str(path)
