"""Label consistency by a random walk, after any network.

The probabilities of a network decide voxel by voxel. A random walk lets neighbours of similar
intensity decide together: single wrong voxels vanish, and borders move to edges of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from scipy import ndimage

from scripts.running.options import check_whole
from scripts.transforms.voxel_graph import face_neighbours, largest_step, solve, voxel_graph

Maps = NDArray[np.float32]
Mask = NDArray[np.bool_]

TOTAL_WITHIN = 1e-3
"""Largest difference of the sum of all classes from 1."""


@dataclass(frozen=True)
class RandomWalk:
    """Random walker with the network's probabilities as prior, near borders and in doubtful voxels.

    Source: Bao and Chung, Multi-scale structured CNN with label consistency for brain MR image
    segmentation, Computer Methods in Biomechanics and Biomedical Engineering: Imaging &
    Visualization 6(1), 113-117, 2018: a "dynamic random walker with decayed region of interest"
    after their network. Equations: Grady 2005, see :mod:`scripts.transforms.voxel_graph`. Could not
    be checked against the paper: the values of all parameters, and how the region of interest
    shrinks. Here, round by round, it keeps the voxels that are still doubtful or near a border, the
    distance being one voxel less in each round, and the new probabilities are the next prior.

    Attributes:
        beta: how far a difference of intensities separates neighbours; at the largest difference in
            the image the similarity is exp(-beta).
        gamma: weight of the network's probabilities, in 1/mm^2; in a region of equal intensity they
            are averaged over about 1 / sqrt(gamma) mm.
        sure: a voxel whose most probable class has at least this probability, and that is not near
            a border of classes, keeps its probabilities.
        reach: voxels on each side of a border that are decided anew.
        rounds: largest number of rounds.

    Raises:
        ValueError: for a value out of range.
    """

    beta: float = 90.0
    gamma: float = 0.1
    sure: float = 0.95
    reach: int = 3
    rounds: int = 3

    def __post_init__(self) -> None:
        """Check the values."""
        _check_number("beta", self.beta, "of at least 0", lambda value: value >= 0)
        _check_number("gamma", self.gamma, "above 0", lambda value: value > 0)
        _check_number("sure", self.sure, "above 0.5, at most 1", lambda value: 0.5 < value <= 1)
        check_whole("random_walk: reach", self.reach, 0)
        check_whole("random_walk: rounds", self.rounds, 1)

    def __call__(self, foreground: Maps, image: NDArray[Any], spacing_mm: Sequence[float]) -> Maps:
        """Make the labels of a slice or of a volume consistent.

        Args:
            foreground: (F, ...), probability of each class but the background, whose probability
                is what they lack to 1.
            image: (...), intensities of the same voxels.
            spacing_mm: along each axis.

        Returns:
            (F, ...) float32; equal to the input wherever it was sure.
        """
        result = np.array(foreground, np.float32)
        largest = largest_step(image)
        part, near = result, image  # what may still change, and its surroundings
        region = np.ones(image.shape, bool)
        for number in range(self.rounds):
            region &= self._undecided(part, self.reach - number)
            box = _box_of(region)
            if box is None:
                break
            maps = (slice(None), *box)
            part, near, region = part[maps], near[box], region[box]
            graph = voxel_graph(near, region, spacing_mm, beta=self.beta, largest=largest)
            part[:, region] = np.clip(solve(graph, part, gamma=self.gamma), 0, 1)
        return result

    def _undecided(self, foreground: Maps, reach: int) -> Mask:
        """Return the voxels without a sure class, and those within ``reach`` voxels of a border."""
        best, labels = 1 - foreground.sum(axis=0), np.zeros(foreground.shape[1:], np.uint8)
        for label, one in enumerate(foreground, start=1):
            labels[one > best] = label
            np.maximum(best, one, out=best)
        return np.asarray((best < self.sure) | _near_border(labels, reach))


class RandomWalkd(MapTransform):
    """Dictionary form of :class:`RandomWalk` for slices (K, H, W) and volumes (K, X, Y, Z).

    One map is the probability of the only class (sigmoid), more are those of all classes,
    background first (softmax). If the item states which classes were annotated in its patient, as
    prepared data do, the others are first added to the background, as the evaluation counts them.

    Args:
        keys: probabilities.
        walk: see :class:`RandomWalk`.
        image_key: the network's input (C, ...) with its affine, which gives the spacing.
        channel: of the image, the slice itself, not a neighbour.
        known_key: key of the flags which classes were annotated, background first.
        allow_missing_keys: skip keys that an item lacks.
    """

    def __init__(
        self,
        keys: KeysCollection,
        walk: RandomWalk,
        *,
        image_key: str = "image",
        channel: int = 0,
        known_key: str = "class_known",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_whole("channel", channel, 0)
        self.walk, self.channel = walk, channel
        self.image_key, self.known_key = image_key, known_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Refine the probabilities of every key; affine and history are kept.

        Raises:
            ValueError: for an image without affine or of another shape, or maps that are not
                probabilities of all classes.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            scores = result[key]
            refined = self._refined(convert_to_tensor(scores), data)
            if isinstance(scores, MetaTensor):
                history = scores.applied_operations
                refined = MetaTensor(refined, meta=scores.meta, applied_operations=history)
            result[key] = refined
        return result

    def _refined(self, scores: torch.Tensor, data: Mapping[Hashable, Any]) -> torch.Tensor:
        image, spacing_mm = self._image(data.get(self.image_key), scores.shape[1:])
        _check_probabilities(scores)
        known = data.get(self.known_key)
        if known is not None and len(scores) > 1:
            scores = _without_unknown(scores, known)
        first = 0 if len(scores) == 1 else 1
        walked = self.walk(scores[first:].float().cpu().numpy(), image, spacing_mm)
        refined = torch.from_numpy(walked)
        if first:
            refined = torch.cat([(1 - refined.sum(dim=0, keepdim=True)).clamp_(0, 1), refined])
        return refined.to(scores)

    def _image(
        self, image: Any, shape: Sequence[int]
    ) -> tuple[NDArray[np.float32], tuple[float, ...]]:
        """Return the intensities, and the spacing in mm along each of their axes."""
        if not isinstance(image, MetaTensor) or image.shape[1:] != shape:
            got = f"{type(image).__name__} {tuple(getattr(image, 'shape', ()))}"
            raise ValueError(
                f"{self.image_key}: a random walk needs the network's input with its affine, "
                f"(C, {', '.join(map(str, shape))}), got {got}"
            )
        if self.channel >= len(image):
            raise ValueError(
                f"channel: must be below the {len(image)} channels of {self.image_key}, got "
                f"{self.channel}"
            )
        lengths = np.linalg.norm(np.asarray(image.affine.cpu(), float)[:3, :3], axis=0)
        plain = convert_to_tensor(image)[self.channel].float().cpu().numpy()
        return plain, tuple(lengths[: len(shape)].tolist())


def _check_probabilities(scores: torch.Tensor) -> None:
    """Refuse maps that are not probabilities: logits, or a mask of class values."""
    low, high = float(scores.min()), float(scores.max())
    if not (low >= -TOTAL_WITHIN and high <= 1 + TOTAL_WITHIN):
        raise ValueError(
            f"pred: a random walk needs probabilities, got values from {low:g} to {high:g}; put it "
            "after the activation"
        )
    if len(scores) > 1:
        error = float((scores.sum(dim=0) - 1).abs().max())
        if not error <= TOTAL_WITHIN:
            raise ValueError(
                f"pred: probabilities of {len(scores)} classes must add up to 1, are {error:g} "
                "from it; a random walk needs those of a softmax, or of a single sigmoid"
            )


def _without_unknown(scores: torch.Tensor, known: Any) -> torch.Tensor:
    """Add the probabilities of unknown classes to that of the background."""
    flags = torch.as_tensor(known, dtype=torch.bool, device=scores.device)
    if flags.shape != scores.shape[:1]:
        raise ValueError(
            f"class_known: must be {len(scores)} times true or false, as many as classes of pred, "
            f"got {flags.tolist()}"
        )
    merged = scores.clone()
    merged[0] += merged[~flags].sum(dim=0)
    merged[~flags] = 0
    return merged


def _near_border(labels: NDArray[np.uint8], reach: int) -> Mask:
    """Return the voxels within ``reach`` face-to-face steps of a voxel of another class."""
    near = np.zeros(labels.shape, bool)
    if reach < 1:
        return near
    for before, after in face_neighbours(labels.ndim):
        differs = labels[before] != labels[after]
        near[before] |= differs
        near[after] |= differs
    box = _box_of(near, margin=reach)
    if box is not None and reach > 1:
        near[box] = ndimage.binary_dilation(near[box], iterations=reach - 1)
    return near


def _box_of(mask: Mask, margin: int = 1) -> tuple[slice, ...] | None:
    """Return the bounding box of a mask with a margin; None if it is empty."""
    boxes = ndimage.find_objects(mask.view(np.uint8))
    if not boxes:
        return None
    return tuple(
        slice(max(0, part.start - margin), min(part.stop + margin, size))
        for part, size in zip(boxes[0], mask.shape, strict=True)
    )


def _check_number(name: str, value: object, rule: str, allowed: Callable[[float], bool]) -> None:
    """Refuse a value that is not a finite number, or not allowed by the rule."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or not allowed(value):  # type: ignore[call-overload,arg-type]
        raise ValueError(f"random_walk: {name} must be a number {rule}, got {value!r}")
