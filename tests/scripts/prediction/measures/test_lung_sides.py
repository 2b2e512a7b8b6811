import numpy as np
import pytest
from scipy import ndimage

from scripts.prediction.measures.lung_sides import LungSides
from tests.scripts.prediction.shapes import ellipsoid, lps_affine

AFFINE = lps_affine((3.0, 3.0, 4.0), (-150.0, -120.0, -200.0))
SHAPE = (50, 80, 100)
RIGHT = ellipsoid(SHAPE, AFFINE, (-70, 0, -100), (55, 80, 80))
LEFT = ellipsoid(SHAPE, AFFINE, (70, 0, -100), (55, 80, 80))


def bridge():
    """What a closed lung field has in front of the heart: both lungs in one part."""
    field = np.zeros(SHAPE, bool)
    field[20:28, 18:22] = True
    return field & ellipsoid(SHAPE, AFFINE, (0, 0, -100), (80, 80, 80))


@pytest.mark.parametrize(
    ("lungs", "x", "side"),
    [
        (RIGHT | LEFT, -70, "right"),
        (RIGHT | LEFT, 70, "left"),
        (RIGHT | LEFT | bridge(), -70, "right"),
        (RIGHT | LEFT | bridge(), 70, "left"),
        (RIGHT | LEFT, -9, "right"),
        (RIGHT | LEFT, 145, "unknown"),
        (RIGHT, -70, "unknown"),
        (np.zeros(SHAPE, bool), 70, "unknown"),
    ],
    ids=["in right", "in left", "fused right", "fused left", "near", "far", "one lung", "none"],
)
def test_point_then_side_of_the_nearer_lung(lungs, x, side):
    assert LungSides(lungs, AFFINE).side_of(np.array([x, 0.0, -100.0])) == side


def test_two_parts_one_above_the_other_then_no_sides():
    stacked = LEFT.copy()
    stacked[24:27] = False
    assert LungSides(stacked, AFFINE).side_of(np.array([70.0, 0.0, -130.0])) == "unknown"


def test_fused_lungs_then_actually_one_part():
    assert ndimage.label(RIGHT | LEFT | bridge())[1] == 1
