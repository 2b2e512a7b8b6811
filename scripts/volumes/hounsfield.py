"""Whether numbers can be Hounsfield units: air -1000, water 0, soft tissue 0 to 100, bone to 2000.

A CT that was exported as stored values, as a picture, or after windowing looks right to the eye and
gives wrong results silently. The rules are wide: a contrast CT, values capped at +-1024, padding
of -2048 or -3024, metal, and a crop of soft tissue without air pass. HU divided by 10 look like
such a crop in a smooth kernel (air like fat, tissue like water), so they are refused only where air
is known to be shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

AIR_HU = -300.0  # air, lung and bowel gas are below, all other tissue above
DENSE_HU = 700.0  # cortical bone and metal are above, little of any body
BELOW_AIR_HU = -1500.0  # below the noise of air: padding, which has one value
SMALLEST_RANGE_HU = 100.0  # fat to muscle; noise alone has more
LARGEST_DENSE_SHARE = 0.15  # a body has 1 to 2 %, a crop of LIDC-IDRI up to 12 %
SMALLEST_AIR_SHARE = 0.01
SMALLEST_NEGATIVE_SHARE = 0.001  # fat, water and noise, in a crop without air
LARGEST_CLIPPED_SHARE = 0.02  # voxels with exactly the lowest value, in a crop without air
LARGEST_BELOW_AIR_SHARE = 0.05
LUNG_HU = -500.0  # lung and air are below, and no tissue
SMALLEST_LUNG_SHARE = 0.005  # a chest has 40 %, crops around nodules of LIDC-IDRI over 15 %
_SAMPLES = 2_000_000  # voxels for the shares
INT16 = np.iinfo(np.int16)


def why_not_hounsfield(values: NDArray[Any], *, shows_air: bool = False) -> str:
    """Return why values cannot be HU; empty if they can.

    Args:
        values: (Z, Y, X).
        shows_air: whether the image is known to show lung or air, as every chest CT does.

    Example:
        >>> air_and_water = np.array([-1000, -1000, 0, 40] * 100)
        >>> why_not_hounsfield(air_and_water)
        ''
        >>> why_not_hounsfield(air_and_water + 1024)[:49]
        'but the lowest is 24 and almost none is below 0, '
    """
    if reason := why_not_int16(values):
        return reason
    low, high = float(values.min()), float(values.max())
    if high - low < SMALLEST_RANGE_HU and low > AIR_HU:
        return (
            f"but they lie between {low:g} and {high:g}: a mask, a picture, or a CT after "
            "normalisation"
        )
    sample = values.reshape(-1)[:: max(1, values.size // _SAMPLES)]
    reason = _why_not_by_share(sample, low)
    return reason or (_why_no_air(sample[sample != low]) if shows_air else "")


def _why_no_air(sample: NDArray[Any]) -> str:
    """Judge the share of lung and air, without the lowest value, which may be padding."""
    share = float(((sample < LUNG_HU) & (sample > BELOW_AIR_HU)).mean()) if sample.size else 1.0
    if share >= SMALLEST_LUNG_SHARE:
        return ""
    low, high = np.percentile(sample, [1, 99])
    return (
        f"but {share:.1%} are below {LUNG_HU:g}, like lung and air, and most are between {low:g} "
        f"and {high:g}: HU divided by a number, or no chest?"
    )


def why_not_int16(values: NDArray[Any]) -> str:
    """Return why values cannot be stored as HU of 16 bits; empty if they can."""
    low, high = float(values.min()), float(values.max())
    fits = np.isfinite([low, high]).all() and low >= INT16.min and high <= INT16.max
    return "" if fits else f"16-bit numbers, got {low:g} to {high:g}"


def _why_not_by_share(sample: NDArray[Any], low: float) -> str:
    """Judge the shares of air, dense voxels and the lowest value, which may be padding."""
    rest = sample[sample != low]
    if not rest.size:
        return ""
    if low > AIR_HU and float((sample < 0).mean()) < SMALLEST_NEGATIVE_SHARE:
        return (
            f"but the lowest is {low:g} and almost none is below 0, and air has -1000, fat -100: "
            "stored values without rescaling, a picture, or a mask"
        )
    clipped = 1 - rest.size / sample.size
    if low > AIR_HU and clipped > LARGEST_CLIPPED_SHARE:
        return (
            f"but the lowest, {low:g}, fills {clipped:.0%} of the volume, and air has -1000: a CT "
            "after windowing?"
        )
    dense = float((rest > DENSE_HU).mean())
    air = float(((rest < AIR_HU) & (rest > BELOW_AIR_HU)).mean())
    if dense > LARGEST_DENSE_SHARE and air < SMALLEST_AIR_SHARE:
        return (
            f"but {dense:.0%} are above {DENSE_HU:g}, like bone, and {air:.1%} are air: stored "
            "values without rescaling (HU + 1024)?"
        )
    below = float((rest < BELOW_AIR_HU).mean())
    if below > LARGEST_BELOW_AIR_SHARE:
        return (
            f"but {below:.0%} are between {BELOW_AIR_HU:g} and {low:g}, and air has -1000: values "
            "of another scale?"
        )
    return ""
