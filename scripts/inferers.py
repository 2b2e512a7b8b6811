"""Inferers that MONAI lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer, SliceInferer


class SlicewiseInferer(Inferer):
    """Run a 2D network on whatever comes: images at once, volumes slice by slice.

    So that training on slices and prediction on volumes name one and the same inferer.

    Args:
        slices_at_once: slices of a volume that the network sees as one batch.
        progress: show a progress bar over the slices of a volume.
    """

    def __init__(self, *, slices_at_once: int = 4, progress: bool = False) -> None:
        super().__init__()
        if slices_at_once < 1:
            raise ValueError(f"slices_at_once: must be at least 1, got {slices_at_once}")
        self.images = SimpleInferer()
        self.volumes = SliceInferer(
            roi_size=(-1, -1), spatial_dim=2, sw_batch_size=slices_at_once, progress=progress
        )

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Map images (B, C, H, W), or volumes (B, C, H, W, D) with slices along the last axis."""
        inferer = self.volumes if inputs.ndim == 5 else self.images
        result: torch.Tensor = inferer(inputs, network, *args, **kwargs)
        return result


class AutocastInferer(Inferer):
    """Run another inferer under ``torch.autocast`` on whatever device the input is on.

    MONAI's ``amp=True`` means ``torch.autocast("cuda")`` and does nothing on a CPU; processors with
    AVX512-BF16 or AMX gain from bfloat16 all the same. Results come back as float32, so that losses
    and metrics never see half precision.

    Args:
        inferer: what does the inference.
        dtype: ``"bfloat16"`` or ``"float16"``.
    """

    def __init__(self, inferer: Inferer, *, dtype: str = "bfloat16") -> None:
        super().__init__()
        if dtype not in ("bfloat16", "float16"):
            raise ValueError(f"dtype: must be bfloat16 or float16, got {dtype!r}")
        self.inferer = inferer
        self.dtype = getattr(torch, dtype)

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return the wrapped inferer's result for (B, C, ...) inputs, as float32."""
        with torch.autocast(inputs.device.type, dtype=self.dtype):
            result: torch.Tensor = self.inferer(inputs, network, *args, **kwargs)
        return result.float()
