"""Inferers that MONAI lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer


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
