"""Trained weights of a package: loading, check against the metadata, serialisation."""

from __future__ import annotations

import io
import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from scripts.bundle.components import built
from scripts.bundle.compose import Composition
from scripts.bundle.config_files import Config
from scripts.bundle.held_models import held_models, holding, refuse_others
from scripts.bundle.model_file import NETWORK, ModelFile, bare, read_model
from scripts.packaging.network_format import VOLUME, spatial_dims
from scripts.training.weights.trained_weights import TrainedWeights

SETTINGS, EARLIER, SIDE_LOSS = "model_settings", "earlier_models", "SideOutputLoss"
SIDES = {2: (64, 64), VOLUME: (32, 32, 32)}  # voxels of an image on which a network is tried


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
            outputs = network(torch.zeros(1, inputs, *SIDES[spatial_dims(network)])).shape[1]
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"metadata.json: states {inputs} input channels, which the network refuses: {error}"
        ) from error
    if outputs != stated:
        raise ValueError(
            f"metadata.json: states {stated} output channels, the network has {outputs}; change "
            "num_channels and channel_def of pred"
        )


def with_earlier(model: ModelFile, inference: Config) -> ModelFile:
    """Return a model file that holds the earlier networks whose maps its own network reads.

    Those that the config names (``earlier_models``, as ``context_maps`` writes them) are for a file
    that holds none. The names, of files of this machine, are removed from the config.

    Args:
        model: the trained network.
        inference: flattened config; changed.

    Raises:
        FileNotFoundError: when a named network does not exist.
        ValueError: when the config needs earlier networks, and there are none, or names others than
            the file holds.
    """
    if EARLIER not in inference:
        return model
    named, inference[EARLIER] = inference[EARLIER], []
    if named:
        models = [read_model(path) for path in named]
        refuse_others(model, models)
        return replace(model, record={**model.record, **holding(models)})
    if not held_models(model):
        raise ValueError(
            f"{EARLIER}: {model.path} does not hold the networks whose maps it reads; add the "
            "prediction.json that context_maps wrote to --config_file"
        )
    return model


def check_trainable(network: nn.Module, train: Config) -> None:
    """Check that the loss of a training suits a network that has several outputs in training.

    Raises:
        ValueError: with the file to add.
    """
    if hasattr(network, "side_scores") and SIDE_LOSS not in json.dumps(train, default=str):
        raise ValueError(
            f"config_file: a {type(network).__name__} is trained by the losses of its side "
            "outputs; add configs/networks/voxresnet.json, so that train.json of the package works"
        )
