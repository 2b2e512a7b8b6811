"""Square patches around voxels, the input of voxel-wise classifiers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

VIEWS = ("stack", "planes")
PLANES_OF_A_VOLUME = ((1, 2), (2, 3), (1, 3))
"""Axes of (C, H, W, D) along which the axial, the coronal and the sagittal plane run."""


def cut_patches(
    image: torch.Tensor, centres: torch.Tensor, *, size: int, views: str = "stack"
) -> torch.Tensor:
    """Cut a patch around each centre; voxels outside the image are 0.

    Args:
        image: (C, H, W), or (C, H, W, D) with slices along the last axis.
        centres: (N, 2) or (N, 3), indices (h, w) or (h, w, d).
        size: side of the patches in voxels, odd.
        views: "stack", the channels of the slice as they are (a slice and its neighbours);
            "planes", the axial, coronal and sagittal plane of a volume of one channel, cut along
            its voxels (sides are in voxels, not in mm).

    Returns:
        (N, C, size, size), or (N, 3, size, size) for planes.

    Raises:
        ValueError: for an even size, unknown views, or planes of an image that is not a volume of
            one channel.

    Example:
        >>> image = torch.arange(9.0).reshape(1, 3, 3)
        >>> cut_patches(image, torch.tensor([[0, 1]]), size=3)[0, 0].tolist()
        [[0.0, 0.0, 0.0], [0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    if views not in VIEWS:
        raise ValueError(f"views: must be one of {', '.join(VIEWS)}, got {views!r}")
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size: must be odd, so that a voxel is in the middle, got {size}")
    if views == "stack":
        return _cut_plane(image, centres, size, (1, 2)).movedim(0, 1)
    if image.ndim != 4 or len(image) != 1:
        raise ValueError(
            f"image: planes are cut from a volume (1, H, W, D), got {tuple(image.shape)}"
        )
    cut = [_cut_plane(image, centres, size, axes)[0] for axes in PLANES_OF_A_VOLUME]
    return torch.stack(cut, dim=1)


def _cut_plane(
    image: torch.Tensor, centres: torch.Tensor, size: int, axes: tuple[int, int]
) -> torch.Tensor:
    """Return patches (C, N, size, size) along two axes, gathered from a view without copies."""
    padding = [0, 0] * (image.ndim - 1)
    for axis in axes:
        padding[2 * (image.ndim - 1 - axis)] = padding[2 * (image.ndim - 1 - axis) + 1] = size // 2
    windows = F.pad(image, padding)
    for axis in axes:
        windows = windows.unfold(axis, size, 1)
    index: tuple[Any, ...] = (slice(None), *centres.unbind(1))
    cut: torch.Tensor = windows[index]
    return cut


class NoduleRegiond(MapTransform):
    """Append a channel that marks boxes around the annotated nodules.

    Voxel-wise methods segment a given nodule inside a box (a volume of interest) that a reader or a
    detector drew. The box is the smallest that holds the nodule's label, widened on every side. The
    network's figures therefore describe the segmentation of known nodules, unlike those of a
    network that searches whole slices: no prediction is possible outside the boxes.

    Args:
        keys: images (C, H, W) or (C, H, W, D), which become (C + 1, ...).
        label_key: map of nodules: 0 background, k = nodule k.
        margin_mm: margin between nodule and box on every side.

    Raises:
        ValueError: for a margin that is not above 0.
    """

    def __init__(
        self, keys: KeysCollection, label_key: str = "instances", *, margin_mm: float = 8.0
    ) -> None:
        super().__init__(keys)
        if not margin_mm > 0:
            raise ValueError(f"margin_mm: must be above 0, got {margin_mm}")
        self.label_key, self.margin_mm = label_key, margin_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Append the channel to every key."""
        result = dict(data)
        label = data[self.label_key]
        region = mark_boxes(np.asarray(label)[0], spacing_mm(label), self.margin_mm)
        for key in self.key_iterator(result):
            image = result[key]
            channel = torch.from_numpy(region)[None].to(image)
            plain = image.as_tensor() if isinstance(image, MetaTensor) else image
            joined = torch.cat([plain, channel])
            result[key] = MetaTensor(joined, meta=image.meta) if plain is not image else joined
        return result


def mark_boxes(
    label: NDArray[Any], spacing_mm: NDArray[np.float64], margin_mm: float
) -> NDArray[np.bool_]:
    """Mark a box around every nodule of a map, ``margin_mm`` wider on every side.

    Example:
        >>> mark_boxes(np.array([[0, 0, 0, 0, 2, 0]]), np.array([1.0, 0.5]), 1.0).tolist()
        [[False, False, True, True, True, True]]
    """
    region = np.zeros(label.shape, bool)
    margin = np.ceil(margin_mm / spacing_mm).astype(int)
    for number in np.unique(label[label > 0]):
        voxels = np.argwhere(label == number)
        low, high = np.maximum(voxels.min(axis=0) - margin, 0), voxels.max(axis=0) + margin + 1
        region[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return region


def spacing_mm(image: torch.Tensor) -> NDArray[np.float64]:
    """Return the spacing in mm along the spatial axes of a channel-first image.

    Raises:
        ValueError: when it has no affine.
    """
    if not isinstance(image, MetaTensor):
        raise ValueError(f"image: must have its affine (MetaTensor), got {type(image).__name__}")
    columns = np.asarray(image.affine, dtype=np.float64)[:3, : image.ndim - 1]
    return np.asarray(np.linalg.norm(columns, axis=0), dtype=np.float64)


class RandCentrePatchesd(MapTransform, Randomizable):
    """Draw voxels to classify, half inside and half outside nodules, most of them near the edge.

    The label of a patch is the class of its middle voxel. Voxels are drawn where the region
    (the image's last channel, see :class:`NoduleRegiond`) is marked, with a weight that falls with
    the distance d to the nodule's edge: ``far_weight + (1 - far_weight) exp(-d / reach_mm)``. In an
    image without a nodule they are drawn uniformly from the whole image.

    Source: weighted sampling as in CF-CNN (Wang et al. 2017) and, by the edge, in CDP-ResNet (Liu
    et al. 2019); the weight's form is this project's.

    Args:
        keys: image (C + 1, H, W) or (C + 1, H, W, D), region last, which becomes (C or 3, size,
            size); and label, 0 and 1, of one channel and the image's shape, which becomes
            (1, 1, 1).
        size: side of the patches in voxels.
        num_samples: number of patches from one item.
        reach_mm: decay length of the weight.
        far_weight: smallest weight, far from the edge.
        views: see :func:`cut_patches`.

    Raises:
        ValueError: for other than two keys, no patches, or a weight out of range.
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        *,
        size: int = 65,
        num_samples: int = 16,
        reach_mm: float = 2.0,
        far_weight: float = 0.1,
        views: str = "stack",
    ) -> None:
        super().__init__(keys)
        if len(self.keys) != 2:
            raise ValueError(f"keys: must name the image and the label, got {self.keys}")
        if num_samples < 1:
            raise ValueError(f"num_samples: must be at least 1, got {num_samples}")
        if not reach_mm > 0 or not 0 < far_weight <= 1:
            raise ValueError(
                f"reach_mm: must be above 0, far_weight above 0 and at most 1, got {reach_mm} and "
                f"{far_weight}"
            )
        self.size, self.num_samples, self.views = size, num_samples, views
        self.reach_mm, self.far_weight = reach_mm, far_weight

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:
        """Return one item for each patch, with the other entries of the input."""
        image_key, label_key = self.keys
        image, region = data[image_key][:-1], np.asarray(data[image_key][-1]) > 0
        label = np.asarray(data[label_key])[0] > 0
        centres = self._draw(region, label, spacing_mm(data[label_key]))
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        patches = cut_patches(plain, torch.from_numpy(centres), size=self.size, views=self.views)
        classes = torch.from_numpy(label[tuple(centres.T)]).float()
        return [
            {**data, image_key: patch, label_key: truth.reshape(1, 1, 1)}
            for patch, truth in zip(patches, classes, strict=True)
        ]

    def _draw(
        self, region: NDArray[np.bool_], label: NDArray[np.bool_], spacing: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Draw voxel indices (num_samples, axes); the first half is inside nodules, if any."""
        if not (label & region).any():
            voxels = [np.unravel_index(i, label.shape) for i in self._flat(label.size)]
            return np.array(voxels, dtype=np.int64)
        corner, box = _bounding_box(region)  # distances in the whole volume would take seconds
        region, label = region[box], label[box]
        inside, outside = np.argwhere(label & region), np.argwhere(region & ~label)
        half = self.num_samples // 2
        counts = (half, self.num_samples - half) if len(outside) else (self.num_samples, 0)
        edges = self._weights(label, spacing)
        drawn = [
            voxels[self._choose(edges[tuple(voxels.T)], count)]
            for voxels, count in zip((inside, outside), counts, strict=True)
            if count
        ]
        return np.concatenate(drawn) + corner

    def _flat(self, total: int) -> NDArray[np.int64]:
        return np.asarray(self.R.randint(total, size=self.num_samples), dtype=np.int64)

    def _choose(self, weights: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        chosen = self.R.choice(len(weights), size=count, p=weights / weights.sum())
        return np.asarray(chosen, dtype=np.int64)

    def _weights(
        self, label: NDArray[np.bool_], spacing: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the weight of each voxel by its distance in mm to the edge of a nodule."""
        distance = np.where(
            label,
            distance_transform_edt(label, sampling=spacing),
            distance_transform_edt(~label, sampling=spacing),
        )
        near: NDArray[np.float64] = np.exp(-(distance - spacing.min()) / self.reach_mm)
        return self.far_weight + (1 - self.far_weight) * near


def _bounding_box(region: NDArray[np.bool_]) -> tuple[NDArray[np.int64], tuple[slice, ...]]:
    """Return the first voxel and the slices of the bounding box of a region."""
    axes = range(region.ndim)
    marked = [np.flatnonzero(region.any(axis=tuple(set(axes) - {axis}))) for axis in axes]
    corner = np.array([voxels[0] for voxels in marked], dtype=np.int64)
    return corner, tuple(slice(voxels[0], voxels[-1] + 1) for voxels in marked)
