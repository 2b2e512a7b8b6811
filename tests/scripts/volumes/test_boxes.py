from __future__ import annotations

import numpy as np
import pytest

from scripts.volumes.boxes import box_of, grow_box


def test_box_of_two_spots_holds_both() -> None:
    mask = np.zeros((5, 6, 7), bool)
    mask[1, 2, 3] = mask[3, 2, 6] = True
    assert box_of(mask) == (slice(1, 4), slice(2, 3), slice(3, 7))


def test_box_of_nothing_raises() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        box_of(np.zeros((2, 2), bool))


def test_grow_box_counts_voxel_centres_within_the_margin() -> None:
    grown = grow_box(
        (slice(10, 11), slice(10, 11)), margin_mm=5, spacing_mm=(2.5, 0.7), shape=(20, 20)
    )
    assert grown == (slice(8, 13), slice(3, 18))


def test_grow_box_when_margin_is_a_rounded_multiple_keeps_the_voxel() -> None:
    # 3 * 0.1 is more than 0.3 in binary
    assert grow_box((slice(5, 6),), margin_mm=0.3, spacing_mm=(0.1,), shape=(9,)) == (slice(2, 9),)
