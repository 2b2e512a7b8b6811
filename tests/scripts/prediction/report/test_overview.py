"""overview.png: the right slices, the right way round, always the same bytes."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from scripts.evaluation.drawing import OURS_COLOUR
from scripts.prediction.appearance import ORGAN_COLOURS, colours_of, headline
from scripts.prediction.axial_view import axial_view
from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.overview import write_overview
from scripts.prediction.report.overview_panels import (
    NODULES_SHOWN,
    nodule_panels,
    organ_panels,
    plain_panels,
)
from scripts.prediction.result import Segment
from tests.scripts.prediction.shapes import ORDERS, abdomen, chest

SOME_ORDERS = ORDERS[::7]


def panels_of(make, prediction):
    view = axial_view(prediction.affine, prediction.hu.shape)
    return make(prediction, view, measure(prediction))


def pixels_of(path, colour):
    return int((np.abs(imread(path)[..., :3] - to_rgb(colour)).max(axis=-1) < 0.02).sum())


@pytest.mark.parametrize("order", SOME_ORDERS, ids=str)
def test_nodules_in_any_index_order_then_the_same_pictures(order):
    for here, straight in zip(
        panels_of(nodule_panels, chest(order=order)), panels_of(nodule_panels, chest()), strict=True
    ):
        np.testing.assert_array_equal(here.panel.ours, straight.panel.ours)
        np.testing.assert_array_equal(here.panel.focus, straight.panel.focus)
        np.testing.assert_allclose(here.panel.spacing_mm, straight.panel.spacing_mm)


def test_nodule_then_in_its_own_slice_with_diameters_on_its_border():
    prediction = chest()
    for one, shown in zip(
        measure(prediction)["nodules"], panels_of(nodule_panels, prediction), strict=True
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
    shown = panels_of(nodule_panels, prediction)
    assert len(shown) == NODULES_SHOWN
    sizes = {n["name"]: n["volume_mm3"] for n in measure(prediction)["nodules"]}
    names = [panel.panel.title.split(" \u00b7 ")[0] for panel in shown]
    left_out = [size for name, size in sizes.items() if name not in names]
    assert min(sizes[name] for name in names) >= max(left_out)


def test_nothing_found_then_three_slices_and_words(tmp_path):
    prediction = dataclasses.replace(chest(nodules=0), segments=())
    assert len(panels_of(plain_panels, prediction)) == 3
    write_overview(prediction, tmp_path / "overview.png")
    assert pixels_of(tmp_path / "overview.png", OURS_COLOUR) == 0
    assert headline(measure(prediction)).startswith("No finding")
    looked = dataclasses.replace(prediction, facts={"looked_for": ("nodule", "cyst")})
    assert headline(measure(looked)) == "No nodule found; not found: cyst"


def test_organ_looked_for_and_not_found_then_named_and_never_taken_for_no_finding():
    assert headline(measure(abdomen())) == "Liver, bone; not found: kidney"
    nothing = abdomen()
    nothing.mask[...] = 0
    assert headline(measure(nothing)) == "Not found: liver, bone, kidney"


def test_page_then_outlines_in_their_colours_and_the_same_bytes(tmp_path):
    for prediction, colours in ((chest(nodules=1), [OURS_COLOUR]), (abdomen(), ORGAN_COLOURS[:3])):
        for name in ("a.png", "b.png"):
            write_overview(prediction, tmp_path / name)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        assert all(pixels_of(tmp_path / "a.png", colour) > 100 for colour in colours)


def test_name_that_the_font_lacks_or_with_dollars_then_drawn(tmp_path):
    odd = dataclasses.replace(chest(nodules=1), study="$x^2 \u80ba\u7ed3\u8282 \t$")
    write_overview(odd, tmp_path / "overview.png")
    assert pixels_of(tmp_path / "overview.png", OURS_COLOUR) > 100


def test_colours_then_one_for_nodules_and_each_organ_its_own():
    nodules = [Segment(n, "nodule", f"nodule {n}") for n in (1, 2)]
    organs = [Segment(n, f"organ{n}", f"organ{n}") for n in (3, 4)]
    colours = colours_of([*nodules, *organs])
    assert colours[1] == colours[2] == OURS_COLOUR
    assert len(set(colours.values())) == 3


def test_other_suffix_then_refused(tmp_path):
    with pytest.raises(ValueError, match="must end in .png"):
        write_overview(chest(), tmp_path / "overview.jpg")
