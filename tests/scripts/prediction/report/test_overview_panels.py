"""Panels of overview.png: the right slices, the right way round."""

import numpy as np
import pytest

from scripts.prediction.measures.axial_view import axial_view
from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.overview_panels import (
    LESIONS_SHOWN,
    lesion_panels,
    organ_panels,
)
from tests.scripts.prediction.shapes import ORDERS, abdomen, chest

SOME_ORDERS = ORDERS[::7]


def panels_of(make, prediction):
    view = axial_view(prediction.affine, prediction.hu.shape)
    return make(prediction, view, measure(prediction))


@pytest.mark.parametrize("order", SOME_ORDERS, ids=str)
def test_nodules_in_any_index_order_then_the_same_pictures(order):
    for here, straight in zip(
        panels_of(lesion_panels, chest(order=order)), panels_of(lesion_panels, chest()), strict=True
    ):
        np.testing.assert_array_equal(here.panel.ours, straight.panel.ours)
        np.testing.assert_array_equal(here.panel.focus, straight.panel.focus)
        np.testing.assert_allclose(here.panel.spacing_mm, straight.panel.spacing_mm)


def test_nodule_then_in_its_own_slice_with_diameters_on_its_border():
    prediction = chest()
    for one, shown in zip(
        measure(prediction)["lesions"], panels_of(lesion_panels, prediction), strict=True
    ):
        at = one["diameter_slice_index_0based"]
        np.testing.assert_array_equal(shown.panel.focus, prediction.mask[at] == one["number"])
        assert f"slice {at + 1} of 40" in shown.panel.caption
        assert one["name"] in shown.panel.title
        long, across = np.linalg.norm(np.diff(shown.diameters_mm, axis=1)[:, 0], axis=-1)
        assert long == pytest.approx(one["longest_axial_diameter_mm"], abs=1e-3)
        assert across == pytest.approx(one["perpendicular_axial_diameter_mm"], abs=1e-3)
        rows, columns = np.nonzero(shown.panel.focus)
        (x, y) = shown.diameters_mm.reshape(4, 2).mean(axis=0)
        assert 4 * columns.min() < x < 4 * (columns.max() + 1)
        assert 4 * rows.min() < y < 4 * (rows.max() + 1)


@pytest.mark.parametrize("order", SOME_ORDERS, ids=str)
def test_organs_in_any_index_order_then_head_first_and_coronal_head_up(order):
    here = panels_of(organ_panels, abdomen(order=order))
    straight = panels_of(organ_panels, abdomen())
    assert [panel.coronal for panel in here] == [False] * 5 + [True]
    for panel, other in zip(here[-1:], straight[-1:], strict=True):
        np.testing.assert_array_equal(panel.panel.ours, other.panel.ours)
    liver = panels_of(organ_panels, abdomen())[-1].panel.ours == 1
    assert np.nonzero(liver)[1].mean() < 32  # the patient's right on the picture's left
    slices = [int(panel.panel.caption.split()[1]) for panel in straight[:-1]]
    assert slices == sorted(slices, reverse=True)


def test_many_nodules_then_the_largest():
    prediction = chest(nodules=30)
    shown = panels_of(lesion_panels, prediction)
    assert len(shown) == LESIONS_SHOWN
    sizes = {n["name"]: n["volume_mm3"] for n in measure(prediction)["lesions"]}
    names = [panel.panel.title.split(" \u00b7 ")[0] for panel in shown]
    left_out = [size for name, size in sizes.items() if name not in names]
    assert min(sizes[name] for name in names) >= max(left_out)
