"""Windowing of Hounsfield units for the network input."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

OUTSIDE = ("zero", "clip")


class WindowHU(Transform):
    """Map a window of Hounsfield units to [0, 1].

    ``outside`` determines the values outside the window. ``"zero"`` sets them to 0 on both sides,
    as in the BSFT paper (section 3.1), so that bone is black; ``"clip"`` is the usual clipping,
    with which bone is white.

    Args:
        window_hu: lower and upper bound in HU.
        outside: ``"zero"`` or ``"clip"``.

    Raises:
        ValueError: for a window that is empty or reversed, or an unknown ``outside``.

    Example:
        >>> import torch
        >>> WindowHU((-1000, 400), outside="zero")(torch.tensor([-2048.0, -300.0, 3000.0]))
        tensor([0.0000, 0.5000, 0.0000])
    """

    def __init__(self, window_hu: tuple[float, float], *, outside: str = "zero") -> None:
        low, high = window_hu
        if not low < high:
            raise ValueError(f"window_hu: lower bound must be below upper, got {window_hu}")
        if outside not in OUTSIDE:
            raise ValueError(f"outside: must be one of {', '.join(OUTSIDE)}, got {outside!r}")
        self.low, self.high, self.outside = float(low), float(high), outside

    def __call__(self, hu: torch.Tensor) -> torch.Tensor:
        """Return the values mapped to [0, 1], float32, of the same shape."""
        values = hu.float()
        scaled = (values - self.low).div_(self.high - self.low)  # in place: a CT has 150 MB
        if self.outside == "clip":
            return scaled.clamp_(0, 1)
        inside = (values >= self.low).logical_and_(values <= self.high)
        return scaled.masked_fill_(inside.logical_not_(), 0)


class WindowHUd(MapTransform):
    """Dictionary form of :class:`WindowHU`."""

    def __init__(
        self,
        keys: KeysCollection,
        window_hu: tuple[float, float],
        *,
        outside: str = "zero",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.window = WindowHU(window_hu, outside=outside)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, Any]:
        """Window every key."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.window(result[key])
        return result
