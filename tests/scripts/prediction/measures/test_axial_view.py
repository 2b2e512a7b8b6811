import numpy as np
import pytest

from scripts.prediction.measures.axial_view import axial_view
from scripts.volumes.geometry import index_to_world
from tests.scripts.prediction.shapes import ORDERS, lps_affine, stored, stored_affine

SHAPE = (3, 4, 5)
AFFINE = lps_affine((0.5, 0.75, 2.0), (7.0, -3.0, 11.0))


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_any_index_order_then_slices_show_alike_and_keep_their_numbers(order):
    axes, flips = order
    volume = np.arange(60).reshape(SHAPE)
    view = axial_view(stored_affine(AFFINE, SHAPE, axes, flips), stored(volume, axes, flips).shape)
    reversed_slices = flips[axes.index(0)] == -1
    assert view.rises_to_head is not reversed_slices
    expected = volume[::-1] if reversed_slices else volume
    np.testing.assert_array_equal(view.turn(stored(volume, axes, flips)), expected)
    assert view.spacing_mm == pytest.approx((2.0, 0.75, 0.5))
    k = 2 if reversed_slices else 0
    np.testing.assert_allclose(index_to_world((1, 2, k), view.affine), (7.5, -1.5, 11.0))


def test_slightly_oblique_source_then_turned_without_interpolation():
    angle = np.radians(8)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    view = axial_view(turn @ AFFINE, SHAPE)
    assert (view.axes, view.flips) == ((0, 1, 2), (False, False))
    np.testing.assert_allclose(view.affine, turn @ AFFINE)


def test_sheared_source_then_refused():
    sheared = AFFINE.copy()
    sheared[1, 2] = 0.5
    with pytest.raises(ValueError, match="must be perpendicular"):
        axial_view(sheared, SHAPE)
