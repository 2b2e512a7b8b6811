"""A network of one filter that is wrong by a shift of intensity, and its bundle on the disk."""

from __future__ import annotations

import contextlib
import json

import torch
from torch import nn

from custom_nets.encoders import ENCODERS
from custom_nets.freezing import Freezable, FreezableBatchNorm2d
from custom_nets.unet import TransferUNet
from scripts.prediction.predict_options import Options
from scripts.training.fine_tuning.stage_options import Stage
from tests.bundles.model_files import write_model
from tests.custom_nets.tiny import TinyEncoder
from tests.scripts.prediction.studies import ROOT


class OneFilter(Freezable):
    """Logit ``slope * (value - bound)`` of one channel; block1 scales, the decoder decides."""

    def __init__(self, bound: float = 0.6, slope: float = 40.0) -> None:
        super().__init__()
        self.scale = nn.Sequential(nn.Conv2d(1, 1, 1), FreezableBatchNorm2d(1))
        self.decide = nn.Conv2d(1, 1, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.scale[0].weight.fill_(1.0)
            self.scale[1].weight.fill_(1.0)
            self.decide.weight.fill_(slope)
            self.decide.bias.fill_(-slope * bound)
        self.name_parts({"block1": {"conv1": ["scale"]}, "decoder": {"decoder": ["decide"]}})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, 1, H, W) to logits of the same shape."""
        decided: torch.Tensor = self.decide(self.scale(x))
        return decided


def step(name, parts, iterations, rate):
    return Stage(name, tuple(parts), iterations, None, rate)


def tiny_unet(monkeypatch, classes):
    """A U-Net of four channels, on which nothing was trained."""
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TransferUNet("tiny", out_channels=classes, decoder_channels=(8, 8, 8, 8, 8)).eval()


def bundle_options(bundle, folder, network, **others):
    """The options of a bundle with a network's weights."""
    weights, overlay = folder / "model.pt", folder / "network.json"
    overlay.write_text(json.dumps({"progress": False, "precision": "float32"}))
    with contextlib.chdir(ROOT):
        write_model(weights, network, bundle / "configs")
    return Options(bundle, (str(overlay),), (str(weights),), device="cpu", **others)
