"""What a package's metadata say of its network's input and output: slices or patches of volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from monai.bundle import ConfigParser
from torch import nn

from custom_nets.definition import Defined
from scripts.bundle.config_files import Config
from scripts.bundle.data_files import KIND

VOLUME = 3
EXAMPLE = {2: (2, 64, 96), VOLUME: (2, 32, 48, 24)}
"""Batch and sides of an image for an export; all different, so that no axes are confused."""
PATCH, WINDOW, SECOND, CLASSES = "volume_patch_size", "window_hu", "second_window_hu", "class_names"
WITH_LUNG = "window and lung field of each slice"  # of configs/data/ct_window_and_lung.json


def spatial_dims(network: nn.Module) -> int:
    """Return 2 for a network of slices (B, C, H, W), 3 for one of volumes (B, C, H, W, D).

    Example:
        >>> spatial_dims(nn.Conv3d(1, 1, 3)), spatial_dims(nn.Sequential(nn.Conv2d(1, 1, 3)))
        (3, 2)
    """
    kernels = [m for m in network.modules() if isinstance(m, (nn.Conv3d, nn.ConvTranspose3d))]
    return VOLUME if kernels else 2


def channel_names(inference: Config, network: nn.Module) -> list[str] | None:
    """Return the names of the network's output channels; a single one is the foreground class.

    Args:
        inference: flattened config; None is returned if it does not name the classes.
        network: the trained network; one that wraps another has the outputs of that.
    """
    names = inference.get(CLASSES)
    if not isinstance(names, list):
        return None
    outputs = _outputs(network.definition) if isinstance(network, Defined) else None
    return names[-(outputs or len(names)) :]


def _outputs(definition: Mapping[str, Any]) -> int | None:
    """Return the number of outputs that a definition, or else one inside it, states."""
    if "out_channels" in definition:
        return int(definition["out_channels"])
    inner = [_outputs(value) for value in definition.values() if isinstance(value, Mapping)]
    return next(filter(None, inner), None)


def described(metadata: Config, network: nn.Module, inference: Config) -> Config:
    """Return metadata that describe the input of this network.

    The bundle's own describe one of three slices. A network may read each slice in a second window
    or with the lung field, or patches of volumes, in one window or two; all kinds may also read the
    maps of earlier networks.

    Args:
        metadata: of the bundle, with the names of the classes.
        network: the trained network.
        inference: flattened config of its inference.
    """
    updated = deepcopy(metadata)
    inputs = updated["network_data_format"]["inputs"]["image"]
    outputs = updated["network_data_format"]["outputs"]["pred"]
    total = getattr(network, "in_channels", inputs["num_channels"])
    stated = _stated(inference)
    if spatial_dims(network) == VOLUME:
        patch = list(stated.get(PATCH, ["*"] * VOLUME))
        for one in (inputs, outputs):
            one.update(spatial_shape=patch, is_patch_data=True, spatial_dims=VOLUME)
        names = [f"volume, {_window(stated[key])}" for key in (WINDOW, SECOND) if key in stated]
    else:
        slices = list(inputs["channel_def"].values())
        names = _of_slices(slices if total >= len(slices) else ["slice"], stated)
    if total > len(names):
        names += [f"probability of {name}, by an earlier network" for name in _maps(outputs)]
    if total == len(names):
        channels = {str(number): name for number, name in enumerate(names)}
        if channels != inputs["channel_def"]:
            inputs.update(num_channels=total, channel_def=channels)
            updated.update(_in_words(updated, network, names))
    return updated


def _of_slices(slices: Sequence[str], stated: Mapping[str, Any]) -> list[str]:
    """Name the channels of slices, which may be followed by a second picture of each."""
    if SECOND in stated:
        windows = [_window(stated[key]) for key in (WINDOW, SECOND)]
        return [f"{name}, {window}" for window in windows for name in slices]
    if stated.get(KIND) == WITH_LUNG:
        return [*slices, *["lung field of the slice"] * len(slices)]
    return list(slices)


def _in_words(metadata: Config, network: nn.Module, channels: Sequence[str]) -> dict[str, str]:
    """Return the entries that describe network and input to a reader."""
    kind = "patches of volumes" if spatial_dims(network) == VOLUME else "slices"
    text = f"{len(channels)} channels: {'; '.join(channels)}; windows mapped to [0, 1]"
    return {
        "description": f"{metadata.get('task', 'Segmentation')} by a {type(network).__name__} on "
        f"{kind} of {text}.",
        "image_classes": text,
    }


def _stated(inference: Config) -> dict[str, Any]:
    """Return the numbers of a config that describe the input, and its kind."""
    parser = ConfigParser(config=dict(inference))
    return {
        key: parser.get_parsed_content(key)
        for key in (PATCH, WINDOW, SECOND, KIND)
        if key in inference
    }


def _window(limits_hu: Sequence[float]) -> str:
    return f"{limits_hu[0]:g} to {limits_hu[1]:g} HU"


def _maps(outputs: Mapping[str, Any]) -> list[str]:
    """Return the classes of an earlier network's maps, which are those of this one."""
    return [str(name) for name in outputs["channel_def"].values()]
