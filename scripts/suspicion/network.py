"""What a segmentation network or an ImageNet encoder computes of a nodule: mask and features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from custom_nets.classifier import TransferClassifier
from custom_nets.encoders.weights import file_sha256
from custom_nets.framing import pad_to_stride
from custom_nets.unet import TransferUNet
from scripts.bundle.model_file import read_model, trained_network
from scripts.bundle.training_scans import TrainingScans
from scripts.suspicion.rated_nodules import Nodule
from scripts.training.weights.trained_weights import load_weights
from scripts.transforms.intensity import WindowHU
from scripts.volumes.geometry import Floats

BLOCKS = (4, 5)  # of the encoder, from 1
DILATION = 2  # voxels around the mask, within a slice
WINDOW_HU = (-1000.0, 400.0)  # for weights without a record
SLICES_AT_ONCE = 8
TOUCHING = np.ones((3, 3, 3))


@dataclass(frozen=True)
class Network:
    """A network with its input.

    Attributes:
        name: file name and the start of its SHA-256.
        network: on the CPU, in evaluation mode.
        window: of HU to its input.
        threshold: least probability of a segmented voxel; None for an encoder without training on
            masks.
        scans: of its training.
    """

    name: str
    network: TransferUNet | TransferClassifier
    window: WindowHU
    threshold: float | None
    scans: TrainingScans

    @classmethod
    def of_model(cls, path: str | Path) -> Network:
        """Read a U-Net for nodules as training wrote it (``model.pt``).

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: for a file of another network or input.
        """
        model = read_model(path)
        settings: Mapping[str, Any] = model.settings or {}
        network = trained_network(settings) if settings else None
        if not isinstance(network, TransferUNet):
            raise ValueError(f"models: {path} must be a U-Net that this software trained")
        if settings.get("lung_masking") or settings.get("out_channels") != 1:
            raise ValueError(
                f"models: {path} must be trained for one class and without lung masking "
                "(--lung_masking false): nodules are cut out without a lung field"
            )
        load_weights(network, model)
        window = WindowHU(settings["window_hu"], outside=settings.get("outside_window", "zero"))
        scans = TrainingScans.of(model)
        threshold = float(settings.get("threshold", 0.5))
        return cls(_named(path), network.eval(), window, threshold, scans)

    @classmethod
    def of_encoder(cls, weights: str, encoder: str = "vgg16") -> Network:
        """Build an encoder with weights that no CT was used for, such as those of ImageNet.

        Raises:
            FileNotFoundError, ConnectionError, ValueError: see
                :func:`custom_nets.encoders.weights.load_encoder_weights`.
        """
        network = TransferClassifier(encoder, weights=weights).eval()
        name = _named(weights) if Path(weights).is_file() else f"{encoder} {weights}"
        window = WindowHU(WINDOW_HU, outside="zero")
        return cls(name, network, window, None, TrainingScans())

    def has_seen(self, scans: Iterable[str]) -> bool:
        """Whether it was trained on one of the scans."""
        return self.scans.includes(scans)

    def inputs(self, hu: NDArray[np.int16]) -> torch.Tensor:
        """Return every slice with its neighbours, (Z, C, Y, X) in [0, 1]."""
        windowed = self.window(torch.from_numpy(hu))
        if self.network.in_channels == 1:
            return windowed[:, None]
        before, after = windowed[:1], windowed[-1:]
        padded = torch.cat([before, windowed, after])
        return torch.stack([padded[:-2], padded[1:-1], padded[2:]], dim=1)

    @torch.no_grad()
    def segmented(self, nodule: Nodule) -> NDArray[np.bool_]:
        """Return the predicted nodule, (Z, Y, X): the component that overlaps the annotation most.

        All False if the network finds nothing there.

        Raises:
            ValueError: for an encoder that was not trained on masks.
        """
        if self.threshold is None:
            raise ValueError(f"{self.name} has no trained decoder and predicts no masks")
        parts = torch.split(self.inputs(nodule.hu), SLICES_AT_ONCE)
        logits = torch.cat([self.network(part)[:, 0] for part in parts])
        return component_at(torch.sigmoid(logits).numpy() >= self.threshold, nodule.mask)

    @torch.no_grad()
    def features(self, nodule: Nodule) -> Floats:
        """Return (F,): channels of blocks 4 and 5 inside the mask, dilated by 2 voxels.

        The mean inside each slice, then its mean and its maximum over the nodule's slices.
        """
        slices = np.flatnonzero(nodule.mask.any(axis=(1, 2)))
        around = ndimage.binary_dilation(nodule.mask[slices], _cross(), iterations=DILATION)
        inputs = self.inputs(nodule.hu)[slices]
        weights = torch.from_numpy(around).float()[:, None]
        found = []
        batches = (torch.split(each, SLICES_AT_ONCE) for each in (inputs, weights))
        for image, weight in zip(*batches, strict=True):
            padded, back = pad_to_stride(image, self.network.in_channels)
            weight = functional.pad(weight, [-edge for edge in back])
            maps = self.network.encoder(self.network.normalise(padded))
            found.append(torch.cat([_inside(maps[b - 1], weight) for b in BLOCKS], dim=1))
        per_slice = torch.cat(found).double().numpy()
        return np.concatenate([per_slice.mean(axis=0), per_slice.max(axis=0)])


def _named(path: str | Path) -> str:
    return f"{Path(path).name} ({file_sha256(Path(path))[:12]})"


def _cross() -> NDArray[np.bool_]:
    """Neighbours within a slice."""
    return np.asarray(ndimage.generate_binary_structure(2, 1)[None])


def _inside(features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return (B, C): the mean of a map (B, C, h, w) over a mask (B, 1, H, W) of a larger grid."""
    share = functional.adaptive_avg_pool2d(weight, (features.shape[2], features.shape[3]))
    return (features * share).sum(dim=(2, 3)) / share.sum(dim=(2, 3))


def component_at(mask: NDArray[np.bool_], place: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the connected component of a mask with most voxels in common with another mask.

    Example:
        >>> mask = np.array([[[1, 1, 0, 1]]], bool)
        >>> component_at(mask, np.array([[[0, 0, 0, 1]]], bool)).tolist()
        [[[False, False, False, True]]]
    """
    labels, count = ndimage.label(mask, TOUCHING)
    shared = np.bincount(labels[place], minlength=count + 1)
    shared[0] = 0
    return np.asarray(labels == shared.argmax()) if shared.any() else np.zeros_like(mask)


def least_seen(
    networks: Sequence[Network], scans_of: Mapping[str, Sequence[str]]
) -> tuple[Network, list[str]]:
    """Choose the network that was trained on the fewest of some patients.

    Of several, the one that was selected by the fewest (validation).

    Args:
        networks: one or more.
        scans_of: patient -> names of all scans of that patient.

    Returns:
        The network, and the patients that it was trained on.
    """
    seen = [
        [patient for patient, scans in scans_of.items() if network.has_seen(scans)]
        for network in networks
    ]
    selected = [
        sum(network.scans.was_selected_by(scans) for scans in scans_of.values())
        for network in networks
    ]
    best = min(range(len(networks)), key=lambda number: (len(seen[number]), selected[number]))
    return networks[best], seen[best]
