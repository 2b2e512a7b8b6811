"""Small networks and their model files, for the tests of weights."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine

from custom_nets.unet import TransferUNet
from scripts.bundle.model_file import content_of, settings_of

SETTINGS = {"input_kind": "window", "window_hu": [-1000, 400], "threshold": 0.5}


def network(encoder="tiny", **options: Any) -> TransferUNet:
    return TransferUNet(encoder, in_channels=1, decoder_channels=(8,) * 5, **options)


def write(path, trained, settings=SETTINGS):
    """Write a model file as training does."""
    content = content_of(trained.state_dict(), settings_of(trained, settings), {})
    torch.save({**content, "stage": "D"}, path)
    return path


def run(handler, epochs=1):
    """Start an engine that does nothing else."""
    engine = Engine(lambda engine, batch: None)
    handler.attach(engine)
    engine.run([0], max_epochs=epochs)


def assert_equal(one, other):
    assert one.state_dict().keys() == other.state_dict().keys()
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key
