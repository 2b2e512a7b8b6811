"""Structures that are drawn on some of their slices only."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.datasets.segments.gaps import check_slices

SHAPE = (40, 2, 3)


def check(slices, pixel=4):
    """Check a structure of one voxel on each slice; the pixel may be one for each."""
    pixels = np.broadcast_to(pixel, len(slices))
    return check_slices("a.dcm", "liver", np.array(slices, np.int64) * 6 + pixels, SHAPE)


@pytest.mark.parametrize("slices", [[], [4], [4, 5, 6], [1, 2, 8, 9]], ids=str)
def test_slices_without_a_gap_or_with_a_long_one_then_accepted(slices):
    assert check(slices) == ""


def test_gap_between_structures_at_two_places_then_accepted():
    assert check([1, 2, 4, 5], [0, 0, 5, 5]) == ""


def test_slices_left_out_then_noted():
    assert check([1, 2, 4, 5, 6, 9]) == (
        "'liver' is not drawn on 3 slices between its own (counted from 0: 3, 7, 8)"
    )


@pytest.mark.parametrize(
    ("slices", "reason"),
    [
        ([3, 5, 7], r"every 2nd slice only \(3 slices from 3 to 7\)"),
        ([3, 8, 13], "every 5th slice only"),
        ([3, 5, 7, 9, 10, 13], r"some of its slices only \(6 slices from 3 to 13\)"),
    ],
    ids=["every second", "every fifth", "uneven"],
)
def test_sparse_slices_then_refused(slices, reason):
    with pytest.raises(ValueError, match=rf"a\.dcm: 'liver' is drawn on {reason}"):
        check(slices)
