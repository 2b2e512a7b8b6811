"""Records of a training in the words of a model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import urlparse

from custom_nets.definition import TARGET
from scripts.bundle.model_file import NETWORK
from scripts.datasets.known import KNOWN, data_set_class
from scripts.preparation.splits import splits_of
from scripts.running.options import is_null

NETWORKS = {"TransferUNet": "U-Net", "TransferFCN": "FCN"}
OF_READERS = "voxels inside the outlines of at least {n} readers"
LABELS = {
    "ball": "a ball with the annotated centre and diameter",
    "readers": OF_READERS,
    "votes": OF_READERS,
    "masks": "instance masks given by the user",
    "map": "label maps of the source",
    "classes": "masks of the source",
}
UNRECORDED = "not recorded"
NAMED_STARTS = {
    **{"imagenet": "ImageNet", "imagenet_v2": "second ImageNet", "imagenet_features": "ImageNet"},
    **{"coco": "COCO (FCN)", "coco_deeplab": "COCO (DeepLab)"},
}
UNKNOWN_START = "initial weights that are not recorded"


def network_of(settings: Mapping[str, Any]) -> str:
    """Name a network.

    >>> network_of({"network_def": {"_target_": "a.TransferUNet", "encoder": "vgg16"}})
    'U-Net with the encoder vgg16'
    """
    definition = settings.get(NETWORK) or {}
    name = str(definition.get(TARGET, "network of another project")).rpartition(".")[2]
    encoder = definition.get("encoder")
    return NETWORKS.get(name, name) + (f" with the encoder {encoder}" if encoder else "")


def start_of(config: Mapping[str, Any]) -> str:
    """Say what weights a training started from.

    >>> start_of({"encoder_weights": "/home/me/vgg16.pth"})
    'encoder weights of the file vgg16.pth'
    """
    given, whole = config.get("encoder_weights"), config.get("start_from")
    if isinstance(whole, str) and not is_null(whole):
        return f"a trained network, {_file_name(whole)}"
    if given in NAMED_STARTS:
        return f"the published {NAMED_STARTS[given]} weights of the encoder (torchvision)"
    if "encoder_weights" not in config or str(given).startswith(("$", "@")):
        return UNKNOWN_START
    if is_null(given):
        return "random weights"
    return f"encoder weights of the file {_file_name(str(given))}"


def _file_name(source: str) -> str:
    """Return the name of a file or of the file of a URL, without its folder."""
    return PurePath(urlparse(source).path.replace("\\", "/")).name


def title_of(data_set: str | None) -> str:
    """Return the title of a data set."""
    if data_set is None:
        return "a data set that is not recorded"
    return data_set_class(data_set).title if data_set in KNOWN else data_set


def label_of(kinds: Any, min_readers: Any) -> str:
    """Say what the reference label is.

    >>> label_of(["votes"], 2)
    'votes: voxels inside the outlines of at least 2 readers'
    """
    named = []
    for kind in kinds or ():
        n = UNRECORDED if min_readers is None else min_readers
        named.append(f"{kind}: {LABELS[kind].format(n=n)}" if kind in LABELS else str(kind))
    return "; ".join(named) or UNRECORDED


def split_of(split: Any, data_set: str | None) -> str:
    """Say how cases were divided, and whether patients leak.

    >>> split_of({"kind": "fold", "seed": 1, "folds": 5, "test_fold": 0}, "luna16")
    'k folds by patient (kind fold, seed 1, folds 5, test_fold 0)'
    """
    if not isinstance(split, Mapping) or "kind" not in split:
        return UNRECORDED
    options = ", ".join(f"{name} {_plain(value)}" for name, value in split.items())
    known = splits_of(data_set_class(data_set)) if data_set in KNOWN and data_set else {}
    if split["kind"] not in known:
        return options
    described = known[split["kind"]]
    leak = f"; LEAK: {described.leak}" if described.leak else ""
    return f"{described.meaning} ({options}){leak}"


def _plain(value: Any) -> str:
    return ":".join(map(str, value)) if isinstance(value, list) else str(value)


def input_of(settings: Mapping[str, Any]) -> list[str]:
    """Describe the input of a network, one line each."""
    window = settings.get("window_hu")
    outside = {"zero": "set to zero", "clip": "clipped"}.get(
        str(settings.get("outside_window")), str(settings.get("outside_window"))
    )
    number = settings.get("in_channels", "?")
    channels = "1 channel" if number == 1 else f"{number} channels"
    lines = [f"{channels}, {settings.get('input_kind')}"]
    if window:
        low, high = window
        lines.append(f"HU from {low:g} to {high:g} mapped to [0, 1], values outside {outside}")
    if "lung_masking" in settings:
        masked = "everything outside the lungs is black" if settings["lung_masking"] else "none"
        lines.append(f"lung masking: {masked}")
    if "threshold" in settings:
        lines.append(f"a voxel is segmented from a probability of {settings['threshold']:g} on")
    return lines
