from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

from scripts.evaluation.figures.surface import surface_distance


def _ball(radius_mm: float, spacing: tuple[float, ...], shift_mm: float = 0.0) -> np.ndarray:
    axes = [(np.arange(24) - 12) * mm for mm in spacing]
    axes[-1] = axes[-1] - shift_mm
    grid = np.meshgrid(*axes, indexing="ij")
    return np.linalg.norm(np.stack(grid), axis=0) <= radius_mm


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (0.8, 0.6)])
def test_distances_agree_with_monai(spacing: tuple[float, ...]) -> None:
    one, other = _ball(5, spacing), _ball(4, spacing, shift_mm=1.5)
    mine = surface_distance(one, other, spacing_mm=spacing)
    tensors = [torch.from_numpy(mask[None, None]).float() for mask in (one, other)]
    keywords = {"include_background": True, "spacing": list(spacing)}
    assd = compute_average_surface_distance(*tensors, symmetric=True, **keywords)
    hd95 = compute_hausdorff_distance(*tensors, percentile=95, **keywords)
    assert mine.assd_mm == pytest.approx(assd.item(), rel=1e-5)
    assert mine.hd95_mm == pytest.approx(hd95.item(), rel=1e-5)


def test_distance_of_shifted_planes_is_the_shift_in_mm() -> None:
    one, other = np.zeros((2, 12, 12), bool)
    one[2], other[5] = True, True
    result = surface_distance(one, other, spacing_mm=(2.5, 1.0))
    assert result.assd_mm == result.hd95_mm == pytest.approx(7.5)


def test_distance_of_equal_masks_is_zero() -> None:
    mask = _ball(4, (1.0, 1.0))
    assert surface_distance(mask, mask, spacing_mm=(1, 1)).hd95_mm == 0


@pytest.mark.parametrize("empty", [(0,), (1,), (0, 1)])
def test_distance_when_a_side_is_empty_is_undefined(empty: tuple[int, ...]) -> None:
    masks = np.ones((2, 4, 4), bool)
    masks[list(empty)] = False
    result = surface_distance(masks[0], masks[1], spacing_mm=(1, 1))
    assert math.isnan(result.assd_mm)
    assert math.isnan(result.hd95_mm)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, 1.0, 1.0)])
def test_distance_when_spacing_is_wrong_raises(spacing: tuple[float, ...]) -> None:
    mask = np.ones((4, 4), bool)
    with pytest.raises(ValueError, match="spacing_mm: must be 2 numbers above 0"):
        surface_distance(mask, mask, spacing_mm=spacing)


def test_distance_when_shapes_differ_raises() -> None:
    with pytest.raises(ValueError, match="must have one shape"):
        surface_distance(np.ones((4, 4), bool), np.ones((4, 5), bool), spacing_mm=(1, 1))
