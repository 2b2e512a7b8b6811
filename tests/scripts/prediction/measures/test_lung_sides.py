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


@pytest.mark.parametrize(
    ("point", "third"),
    [
        ((-70.0, 0.0, -170.0), "lower"),
        ((70.0, 0.0, -100.0), "middle"),
        ((70.0, 0.0, -40.0), "upper"),
        ((-70.0, 0.0, -186.0), "lower"),
        ((145.0, 0.0, -100.0), "unknown"),
    ],
)
@pytest.mark.parametrize("flipped", [False, True], ids=["to the head", "to the feet"])
def test_point_then_third_of_its_lungs_height(point, third, flipped):
    lungs, affine = RIGHT | LEFT, AFFINE
    if flipped:
        lungs = lungs[::-1]
        affine = AFFINE @ np.array(
            [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, len(lungs) - 1], [0, 0, 0, 1.0]]
        )
    assert LungSides(lungs, affine).third_of(np.array(point)) == third


def test_windpipe_above_a_lung_then_its_thirds_as_without():
    pipe = np.zeros(SHAPE, bool)
    pipe[44:48, 38:41, 65:68] = True
    with_pipe = LungSides(RIGHT | LEFT | pipe, AFFINE)
    for z in (-160.0, -130.0, -124.0, -100.0, -76.0, -70.0, -40.0):
        point = np.array([70.0, 0.0, z])
        assert with_pipe.third_of(point) == LungSides(RIGHT | LEFT, AFFINE).third_of(point)


def test_lung_that_the_scan_cuts_off_then_its_side_but_no_third():
    cut = LungSides((RIGHT | LEFT)[:30], AFFINE)
    point = np.array([-70.0, 0.0, -170.0])
    assert (cut.side_of(point), cut.third_of(point)) == ("right", "unknown")
