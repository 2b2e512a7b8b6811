"""overview.png: outlines in their colours, odd names drawn, always the same bytes."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from scripts.datasets.segment_classes import classes_of
from scripts.datasets.segment_colours import ORGAN_COLOURS
from scripts.evaluation.pictures.colours import OURS_COLOUR
from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.appearance import headline
from scripts.prediction.report.overview import write_overview
from scripts.prediction.report.overview_panels import (
    plain_panels,
)
from scripts.prediction.result import Segment
from tests.scripts.prediction.report.test_overview_panels import panels_of
from tests.scripts.prediction.shapes import abdomen, chest, nodule


def pixels_of(path, colour):
    return int((np.abs(imread(path)[..., :3] - to_rgb(colour)).max(axis=-1) < 0.02).sum())


def test_nothing_found_then_three_slices_and_words(tmp_path):
    prediction = dataclasses.replace(chest(nodules=0), segments=())
    assert len(panels_of(plain_panels, prediction)) == 3
    write_overview(prediction, tmp_path / "overview.png")
    assert pixels_of(tmp_path / "overview.png", OURS_COLOUR) == 0
    assert headline(measure(prediction)).startswith("No finding")
    looked = dataclasses.replace(
        prediction, facts={"looked_for": ("nodule", "liver"), "lesion_kinds": ("nodule",)}
    )
    assert headline(measure(looked)) == "No nodule found; not found: liver"


def test_page_then_outlines_in_their_colours_and_the_same_bytes(tmp_path):
    for prediction, colours in ((chest(nodules=1), [OURS_COLOUR]), (abdomen(), ORGAN_COLOURS[:3])):
        for name in ("a.png", "b.png"):
            write_overview(prediction, tmp_path / name)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        assert all(pixels_of(tmp_path / "a.png", colour) > 100 for colour in colours)


def test_organ_with_a_colour_of_its_own_then_drawn_in_it(tmp_path):
    meanings = classes_of(["liver", "bone", "kidney"], {"liver": {"colour": "#12c4f0"}})
    prediction = dataclasses.replace(abdomen(), meanings=meanings)
    write_overview(prediction, tmp_path / "overview.png")
    assert pixels_of(tmp_path / "overview.png", "#12c4f0") > 100


def test_lesions_with_colours_of_their_own_then_drawn_in_them(tmp_path):
    codes = {"cyst": {"colour": "#12c4f0"}, "nodule": {"colour": "#f012c4"}}
    meanings = classes_of(["nodule", "cyst"], codes, lesions=["nodule", "cyst"])
    segments = (nodule(1), Segment(2, "cyst", "cyst 1", lesion=True))
    prediction = dataclasses.replace(chest(nodules=2), segments=segments, meanings=meanings)
    write_overview(prediction, tmp_path / "overview.png")
    assert pixels_of(tmp_path / "overview.png", "#12c4f0") > 100
    assert pixels_of(tmp_path / "overview.png", "#f012c4") > 100
    assert pixels_of(tmp_path / "overview.png", OURS_COLOUR) == 0


def test_name_that_the_font_lacks_or_with_dollars_then_drawn(tmp_path):
    odd = dataclasses.replace(chest(nodules=1), study="$x^2 \u80ba\u7ed3\u8282 \t$")
    write_overview(odd, tmp_path / "overview.png")
    assert pixels_of(tmp_path / "overview.png", OURS_COLOUR) > 100


def test_other_suffix_then_refused(tmp_path):
    with pytest.raises(ValueError, match="must end in .png"):
        write_overview(chest(), tmp_path / "overview.jpg")
