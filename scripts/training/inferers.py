"""Inferers that MONAI lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from monai.utils import convert_to_dst_type
from tqdm import tqdm

from custom_nets.prefix_cache import PrefixCache
from custom_nets.unet import TransferUNet
from scripts.training.precision import DTYPES, native_dtype
from scripts.transforms.centre_voxels import VIEWS, cut_patches

OUTSIDE_LOGIT = -20.0
"""Of voxels that nothing was asked about: background beyond doubt, and finite for the losses."""
MARGIN = 32
"""Voxels that the network sees around what is not 0; with 8, rims of lungs come out otherwise."""


class SlicewiseInferer(Inferer):
    """Run a 2D network on whatever comes: images at once, volumes slice by slice.

    So that training on slices and prediction on volumes name one and the same inferer. MONAI's
    ``SliceInferer`` gives the same for volumes; as a sliding window it also weighs and counts each
    voxel of a result that is strided across memory, as long as a fifth of the network takes.

    Args:
        slices_at_once: slices of a volume that the network sees as one batch.
        progress: show a progress bar over the slices of a volume.
        grid: None for whole slices; else the network sees of a slice only the box of what is not 0,
            ``MARGIN`` voxels wider, from line to line of a grid as in
            :class:`scripts.transforms.grid_crop.CropOnGridd`. Elsewhere is background.

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
        """Map images (B, C, H, W), or volumes (B, C, H, W, D) with slices along the last axis."""
        if inputs.ndim != 5:
            images: torch.Tensor = self.images(inputs, network, *args, **kwargs)
            return images
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        slices = plain.movedim(-1, 1)  # (B, D, C, H, W)
        starts = range(0, slices.shape[1], self.slices_at_once)
        logits = torch.empty(0)
        for start in tqdm(starts, disable=not self.progress):
            part = slices[:, start : start + self.slices_at_once]
            rows, columns = self._box(part)
            found = network(part[..., rows, columns].flatten(0, 1), *args, **kwargs)
            if start == 0:
                shape = (*slices.shape[:2], found.shape[1], *slices.shape[-2:])
                logits = slices.new_full(shape, OUTSIDE_LOGIT)
            logits[:, start : start + part.shape[1], :, rows, columns] = found.reshape(
                *part.shape[:2], *found.shape[1:]
            )
        result: torch.Tensor = convert_to_dst_type(logits.movedim(1, -1), inputs)[0]
        return result

    def _box(self, slices: torch.Tensor) -> tuple[slice, slice]:
        """Rows and columns of slices (..., H, W) that the network is to see."""
        if self.grid is None:
            return slice(None), slice(None)
        occupied = (slices != 0).flatten(0, -3).any(dim=0)
        return self._between_lines(occupied.any(dim=1)), self._between_lines(occupied.any(dim=0))

    def _between_lines(self, occupied: torch.Tensor) -> slice:
        """Range along one axis; one cell of the grid where nothing is occupied."""
        grid, places = self.grid or 1, torch.nonzero(occupied)
        if not len(places):
            return slice(0, grid)
        first, last = int(places[0]) - MARGIN, int(places[-1]) + MARGIN
        return slice(max(first, 0) // grid * grid, (last // grid + 1) * grid)


class AutocastInferer(Inferer):
    """Run another inferer under ``torch.autocast`` on whatever device the input is on.

    MONAI's ``amp=True`` means ``torch.autocast("cuda")`` and does nothing on a CPU; processors with
    AVX512-BF16 or AMX gain from bfloat16 all the same. Results come back as float32, so that losses
    and metrics never see half precision.

    Args:
        inferer: what does the inference.
        dtype: ``"bfloat16"``, ``"float16"``, ``"float32"`` (no autocast), or ``"auto"``: bfloat16
            on devices that compute it natively, else float32.
    """

    def __init__(self, inferer: Inferer, *, dtype: str = "bfloat16") -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f"dtype: must be one of {', '.join(DTYPES)}, got {dtype!r}")
        self.inferer = inferer
        self.dtype = dtype

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return the wrapped inferer's result for (B, C, ...) inputs, as float32."""
        device = inputs.device.type
        dtype = native_dtype(device) if self.dtype == "auto" else getattr(torch, self.dtype)
        with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
            result: torch.Tensor = self.inferer(inputs, network, *args, **kwargs)
        return result.float()


class CachedPrefixInferer(Inferer):
    """Keep what frozen blocks give, so that an image that comes again does not pass them again.

    For the first stages of block superimposed fine-tuning without augmentation; see
    :class:`custom_nets.prefix_cache.PrefixCache`.

    Args:
        megabytes: of maps at most.

    Raises:
        ValueError: for no memory.
    """

    def __init__(self, megabytes: float) -> None:
        super().__init__()
        self.cache = PrefixCache(megabytes)

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Map images (B, C, H, W) to logits.

        Raises:
            ValueError: for another network than :class:`custom_nets.unet.TransferUNet`, also for
                one inside DistributedDataParallel.
        """
        if not isinstance(network, TransferUNet) or args or kwargs:
            raise ValueError(
                f"network: only a TransferUNet can go on from kept maps, got "
                f"{type(network).__name__}; leave configs/runtime/cached_prefix.json out"
            )
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        logits: torch.Tensor = convert_to_dst_type(self.cache(network, plain), inputs)[0]
        return logits


class CentreVoxelInferer(Inferer):
    """Segment with a network that classifies the voxel in the middle of a patch.

    Patches (B, 3, size, size), as in training, go through the network as they are. An image or a
    volume whose last channel marks a region
    (:class:`scripts.transforms.centre_voxels.NoduleRegiond`) is classified voxel by voxel
    there; elsewhere it is background.

    Args:
        out_channels: logits that the network gives for a voxel.
        size: side of the patches in voxels.
        views: "stack" or "planes", see :func:`scripts.transforms.centre_voxels.cut_patches`.
        voxels_at_once: patches that the network sees as one batch.

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
            ValueError: for an input whose last channel is no region.
        """
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        if plain.shape[1:] == (3, self.size, self.size):
            return network(plain, *args, **kwargs)
        region = plain[:, -1]
        if not bool(((region == 0) | (region == 1)).all()):
            raise ValueError(
                f"inputs: the last channel must mark a region by 0 and 1; it holds values from "
                f"{float(region.min()):g} to {float(region.max()):g}; add NoduleRegiond to the "
                "transforms (configs/data/luna16_nodule_patches.json)"
            )
        logits = [self._classify(image, network, *args, **kwargs) for image in plain]
        return torch.stack(logits)

    def _classify(
        self, image: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Logits (out_channels, ...) of one image (C + 1, ...)."""
        logits = image.new_full((self.out_channels, *image.shape[1:]), OUTSIDE_LOGIT)
        asked = torch.nonzero(image[-1])
        for start in range(0, len(asked), self.voxels_at_once):
            centres = asked[start : start + self.voxels_at_once]
            patches = cut_patches(image[:-1], centres, size=self.size, views=self.views)
            found = network(patches, *args, **kwargs).flatten(1).to(logits.dtype)
            index: tuple[Any, ...] = (slice(None), *centres.unbind(1))
            logits[index] = found.T
        return logits
