"""MONAI's ``Compose`` for training: its augmentation works on tensors without metadata."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from monai.data import MetaTensor, get_track_meta, set_track_meta
from monai.transforms import (
    CenterSpatialCropd,
    Compose,
    CopyItemsd,
    RandAdjustContrastd,
    RandAffined,
    RandCoarseDropoutd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandomizableTrait,
    RandRotate90d,
    RandRotated,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    RandZoomd,
    ResizeWithPadOrCropd,
    SelectItemsd,
    SpatialPadd,
    Transform,
)

from scripts.transforms.class_presence import ClassPresenced
from scripts.transforms.crops import RandCropWithLabeld
from scripts.transforms.partial_labels import CandidateClassesd

VOXELS_ONLY: tuple[type, ...] = (
    *(CandidateClassesd, ClassPresenced, RandCropWithLabeld),
    *(CenterSpatialCropd, CopyItemsd, ResizeWithPadOrCropd, SelectItemsd, SpatialPadd),
    *(RandAffined, RandFlipd, RandRotate90d, RandRotated, RandSpatialCropd, RandZoomd),
    *(RandAdjustContrastd, RandCoarseDropoutd, RandGaussianNoised, RandGaussianSmoothd),
    *(RandScaleIntensityd, RandShiftIntensityd),
)
"""Transforms whose voxels do not depend on metadata, such as the affine."""


class TrainingCompose(Compose):
    """Transforms of training samples, the same voxels in half the time.

    MONAI's transforms carry the metadata of an image along, which takes longer than small images
    themselves, and training uses none. From the first random transform on, tensors are therefore
    plain, also those that a ``CacheDataset`` keeps. If one of these transforms is not among
    ``VOXELS_ONLY``, it may read metadata, and everything is as with ``Compose``.

    Args:
        transforms: of items that are dictionaries.
        options: of ``Compose``.

    Example:
        >>> import torch
        >>> flip = TrainingCompose([RandFlipd("image", prob=1.0, spatial_axis=0)])
        >>> type(flip({"image": MetaTensor(torch.eye(3)[None])})["image"]).__name__
        'Tensor'
    """

    def __call__(
        self,
        input_: Any,
        start: int = 0,
        end: int | None = None,
        threading: bool = False,
        lazy: bool | None = None,
    ) -> Any:
        """Apply the transforms from ``start`` to before ``end``."""
        options: dict[str, Any] = {"threading": threading, "lazy": lazy}
        last = len(self.transforms) if end is None else end
        first = self._first_random()
        is_lazy = (self._lazy if lazy is None else lazy) is not False  # None: as each transform is
        if first is None or last < first or is_lazy:
            return super().__call__(input_, start=start, end=end, **options)
        if start < first:
            input_ = super().__call__(input_, start=start, end=first, **options)
        if last == first:  # other threads of a CacheDataset may need metadata at this moment
            return _plain(input_)
        with _Untracked.block():
            result = super().__call__(_plain(input_), start=max(start, first), end=last, **options)
        return _plain(result)

    def _first_random(self) -> int | None:
        """Return the place of the first random transform if no later one may read metadata."""
        first: int | None = self.get_index_of_first(
            lambda t: isinstance(t, RandomizableTrait) or not isinstance(t, Transform)
        )
        known = first is not None and {type(t) for t in self.transforms[first:]} <= {*VOXELS_ONLY}
        return first if known else None


class _Untracked:
    """MONAI's switch for metadata, one for all threads: off while any of them is inside."""

    lock: ClassVar[threading.Lock] = threading.Lock()
    inside: ClassVar[int] = 0
    before: ClassVar[bool] = True

    @classmethod
    @contextmanager
    def block(cls) -> Iterator[None]:
        with cls.lock:
            if cls.inside == 0:
                cls.before = get_track_meta()
                set_track_meta(False)
            cls.inside += 1
        try:
            yield
        finally:
            with cls.lock:
                cls.inside -= 1
                if cls.inside == 0:
                    set_track_meta(cls.before)


def _plain(item: Any) -> Any:
    """Return an item, or a list of items, with tensors instead of MONAI's."""
    if isinstance(item, Mapping):
        return {
            key: value.as_tensor() if isinstance(value, MetaTensor) else value
            for key, value in item.items()
        }
    return [_plain(one) for one in item] if isinstance(item, list) else item
