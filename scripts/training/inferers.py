"""Inferers: slice by slice, with autocast, with cached frozen blocks, voxel by voxel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from monai.utils import convert_to_dst_type

from custom_nets.folding import FoldedCopy
from custom_nets.prefix_cache import PrefixCache
from custom_nets.unet import TransferUNet
from scripts.running.options import read_truth
from scripts.running.progress import Progress
from scripts.training.precision import DTYPES, check_finite, chosen_dtype
from scripts.transforms.centre_voxels import VIEWS, cut_patches

OUTSIDE_LOGIT = -20.0
"""Logit of voxels that are not predicted: certainly background, and finite for the losses."""
MARGIN = 32
"""Voxels around the non-zero box that the network gets too; 8 would change rims of lungs."""
RIM = 8
"""Voxels around the non-zero box whose logits are needed: lungs hold voxels of the window's lowest
value, but end near others."""


class SlicewiseInferer(Inferer):
    """Run a 2D network on images as they are and on volumes slice by slice.

    So that training on slices and prediction on volumes can use the same inferer. MONAI's
    ``SliceInferer`` gives the same for volumes, but as a sliding window it also weights and counts
    each voxel of a result strided across memory, which takes a fifth of the network's time.

    Args:
        slices_at_once: slices of a volume in one batch.
        progress: show a progress bar over the slices of a volume.
        grid: None for whole slices; else the network gets only the box of non-zero voxels of a
            slice plus ``MARGIN`` voxels, enlarged to the lines of a grid as in
            :class:`scripts.transforms.grid_crop.CropOnGridd`. The rest is background.

    Raises:
        ValueError: for a number below 1.
    """

    def __init__(
        self, *, slices_at_once: int = 4, progress: bool = False, grid: int | None = None
    ) -> None:
        super().__init__()
        if slices_at_once < 1:
            raise ValueError(f"slices_at_once: must be at least 1, got {slices_at_once}")
        if grid is not None and grid < 1:
            raise ValueError(f"grid: must be at least 1, or null, got {grid}")
        self.images = SimpleInferer()
        self.slices_at_once, self.progress, self.grid = slices_at_once, progress, grid

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Map images (B, C, H, W), or volumes (B, C, H, W, D) with slices along the last axis.

        The network gets tensors without metadata, which would be carried through each of its
        operations; the logits get it back.
        """
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        if inputs.ndim != 5:
            return _with_metadata(self.images(plain, network, *args, **kwargs), inputs)
        slices = plain.movedim(-1, 1)  # (B, D, C, H, W)
        parts = slices.split(self.slices_at_once, dim=1)
        boxes, logits, start = self._boxes(parts), torch.empty(0), 0
        for part, (rows, columns) in Progress(
            zip(parts, boxes, strict=True),
            total=len(parts),
            desc="slices",
            disable=not self.progress,
        ):
            scores = network(part[..., rows, columns].flatten(0, 1), *args, **kwargs)
            if start == 0:
                shape = (*slices.shape[:2], scores.shape[1], *slices.shape[-2:])
                logits = slices.new_full(shape, OUTSIDE_LOGIT)
            end = start + part.shape[1]
            logits[:, start:end, :, rows, columns] = scores.reshape(
                *part.shape[:2], *scores.shape[1:]
            )
            start = end
        result: torch.Tensor = convert_to_dst_type(logits.movedim(1, -1), inputs)[0]
        return result

    def _boxes(self, parts: Sequence[torch.Tensor]) -> list[tuple[slice, slice]]:
        """Return the rows and columns that the network gets of each batch of slices (..., H, W).

        All are found before the first batch: reading them in between, a GPU would stand still
        during the preparation of each batch.
        """
        if self.grid is None:
            return [(slice(None), slice(None))] * len(parts)
        occupied = [(part != 0).flatten(0, -3).any(dim=0) for part in parts]
        rows = torch.stack([one.any(dim=1) for one in occupied]).cpu()
        columns = torch.stack([one.any(dim=0) for one in occupied]).cpu()
        return [
            (self._between_lines(row), self._between_lines(column))
            for row, column in zip(rows, columns, strict=True)
        ]

    def _between_lines(self, occupied: torch.Tensor) -> slice:
        """Return the range along one axis; one cell of the grid if nothing is occupied."""
        grid, positions = self.grid or 1, torch.nonzero(occupied)
        if not len(positions):
            return slice(0, grid)
        first, last = int(positions[0]) - MARGIN, int(positions[-1]) + MARGIN
        return slice(max(first, 0) // grid * grid, (last // grid + 1) * grid)


def _with_metadata(logits: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return logits with the metadata of the inputs, if they have any, as they are in memory."""
    if not isinstance(inputs, MetaTensor):
        return logits
    carrying = MetaTensor(logits)
    carrying.copy_meta_from(inputs)
    result: torch.Tensor = carrying
    return result


class AutocastInferer(Inferer):
    """Run another inferer under ``torch.autocast`` on the device of the input.

    MONAI's ``amp=True`` means ``torch.autocast("cuda")`` and does nothing on a CPU; processors with
    AVX512-BF16 or AMX are faster in bfloat16 too. Results are float32, so that losses and metrics
    do not compute in half precision.

    Args:
        inferer: the inferer to run.
        dtype: ``"bfloat16"``, ``"float16"``, ``"float32"`` (no autocast), or ``"auto"``: bfloat16
            on devices that compute it natively, else float32. A device that emulates bfloat16 is
            reported.
        fold_norms: for inference only: run a trained network as ``predict`` does, with its batch
            norms folded and its weights in channels-last order, so that a program that loads the
            weights itself (MONAI Label, MONAI Deploy) gets the same mask.

    Raises:
        ValueError: for another dtype, or a ``fold_norms`` that is not true or false.
    """

    def __init__(
        self, inferer: Inferer, *, dtype: str = "auto", fold_norms: bool | str = False
    ) -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f"dtype: must be one of {', '.join(DTYPES)}, got {dtype!r}")
        self.inferer = inferer
        self.dtype = dtype
        self.folded = FoldedCopy() if read_truth("fold_norms", fold_norms) else None

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], **others: torch.Tensor
    ) -> torch.Tensor:
        """Return the wrapped inferer's result for (B, C, ...) inputs, as float32.

        Args:
            inputs: the image.
            network: takes the image only.
            others: not used: MONAI Deploy adds every tensor that preprocessing leaves with the
                image, such as the lung field.

        Raises:
            ValueError: when the result is not finite, outside training, which checks its loss.
        """
        device = inputs.device.type
        dtype = chosen_dtype(self.dtype, device)
        if self.folded is not None:
            network = self.folded.of(network)
        autocast = torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32)
        with autocast, _without_own_autocast():
            result: torch.Tensor = self.inferer(inputs, network)
        return result.float() if torch.is_grad_enabled() else check_finite(result.float())


@contextmanager
def _without_own_autocast() -> Iterator[None]:
    """Switch TorchScript's own autocast off, which casts other operations than torch's does.

    A network then gives equal results as TorchScript and in Python.
    """
    before = torch._C._jit_set_autocast_mode(False)
    try:
        yield
    finally:
        torch._C._jit_set_autocast_mode(before)


class CachedPrefixInferer(Inferer):
    """Cache the maps of frozen blocks, so that a repeated image skips these blocks.

    For the first stages of block superimposed fine-tuning without augmentation; see
    :class:`custom_nets.prefix_cache.PrefixCache`.

    Args:
        megabytes: limit for the maps.

    Raises:
        ValueError: when the limit is not above 0.
    """

    def __init__(self, megabytes: float) -> None:
        super().__init__()
        self.cache = PrefixCache(megabytes)

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Map images (B, C, H, W) to logits.

        Raises:
            ValueError: when the network is not a :class:`custom_nets.unet.TransferUNet`, also when
                it is inside DistributedDataParallel.
        """
        if not isinstance(network, TransferUNet) or args or kwargs:
            raise ValueError(
                f"network: only a TransferUNet can continue from cached maps, got "
                f"{type(network).__name__}; leave configs/runtime/cached_prefix.json out"
            )
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        logits: torch.Tensor = convert_to_dst_type(self.cache(network, plain), inputs)[0]
        return logits


class CentreVoxelInferer(Inferer):
    """Segment with a network that classifies the voxel in the middle of a patch.

    Patches (B, 3, size, size), as in training, are given to the network unchanged. An image or a
    volume whose last channel marks a region
    (:class:`scripts.transforms.centre_voxels.NoduleRegiond`) is classified voxel by voxel
    there; elsewhere it is background.

    Args:
        out_channels: logits of the network per voxel.
        size: side of the patches in voxels.
        views: "stack" or "planes", see :func:`scripts.transforms.centre_voxels.cut_patches`.
        voxels_at_once: patches in one batch.

    Raises:
        ValueError: for a number below 1 or unknown views.
    """

    def __init__(
        self,
        *,
        out_channels: int = 1,
        size: int = 65,
        views: str = "stack",
        voxels_at_once: int = 256,
    ) -> None:
        super().__init__()
        if min(out_channels, size, voxels_at_once) < 1:
            raise ValueError(
                f"out_channels, size, voxels_at_once: must be at least 1, got {out_channels}, "
                f"{size}, {voxels_at_once}"
            )
        if views not in VIEWS:
            raise ValueError(f"views: must be one of {', '.join(VIEWS)}, got {views!r}")
        self.out_channels, self.size, self.views = out_channels, size, views
        self.voxels_at_once = voxels_at_once

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Map patches to (B, out_channels, 1, 1), images (B, C + 1, ...) to logits of each voxel.

        Raises:
            ValueError: for an input whose last channel is not a region.
        """
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        if plain.shape[1:] == (3, self.size, self.size):
            return network(plain, *args, **kwargs)
        region = plain[:, -1]
        if not bool(((region == 0) | (region == 1)).all()):
            raise ValueError(
                f"inputs: the last channel must mark a region by 0 and 1, got values from "
                f"{float(region.min()):g} to {float(region.max()):g}; add NoduleRegiond to the "
                "transforms (configs/data/luna16_nodule_patches.json)"
            )
        logits = [self._classify(image, network, *args, **kwargs) for image in plain]
        return torch.stack(logits)

    def _classify(
        self, image: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return the logits (out_channels, ...) of one image (C + 1, ...)."""
        logits = image.new_full((self.out_channels, *image.shape[1:]), OUTSIDE_LOGIT)
        voxels = torch.nonzero(image[-1])
        for start in range(0, len(voxels), self.voxels_at_once):
            centres = voxels[start : start + self.voxels_at_once]
            patches = cut_patches(image[:-1], centres, size=self.size, views=self.views)
            scores = network(patches, *args, **kwargs).flatten(1).to(logits.dtype)
            index: tuple[Any, ...] = (slice(None), *centres.unbind(1))
            logits[index] = scores.T
        return logits
