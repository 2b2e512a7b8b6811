"""Colours can be told apart: from each other, from those in use, and from grey."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from skimage.color import rgb2lab

from scripts.datasets.segment_colours import (
    COLOURS,
    LESION_COLOUR,
    MOST_COLOURS,
    ORGAN_COLOURS,
    deal_colours,
    distinct_colours,
    rgb_of,
)


def lab_of(colours):
    return rgb2lab(np.array([rgb_of(colour) for colour in colours]) / 255.0)


@pytest.mark.parametrize(("count", "apart"), [(10, 45), (50, 20), (300, 8)])
def test_colours_then_at_least_so_far_apart_in_cielab(count, apart):
    assert pdist(lab_of([LESION_COLOUR, *distinct_colours(count, [LESION_COLOUR])])).min() > apart


def test_colours_then_never_grey_dark_or_white():
    lightness, *green_blue = lab_of(distinct_colours(100)).T
    assert lightness.min() > 40
    assert lightness.max() < 95
    assert np.hypot(*green_blue).min() > 30


def test_colours_when_more_than_there_are_then_they_repeat():
    colours = distinct_colours(MOST_COLOURS + 2)
    assert len(set(colours)) == MOST_COLOURS
    assert colours[MOST_COLOURS:] == colours[:2]


def test_organs_when_more_than_listed_colours_then_each_its_own():
    organs = [f"organ {number}" for number in range(12)]
    dealt = deal_colours([*organs, "cyst"], ["cyst"])
    assert [dealt[organ] for organ in organs[: len(ORGAN_COLOURS)]] == list(ORGAN_COLOURS)
    assert len(set(dealt.values())) == 13
    assert not set(COLOURS) & {dealt[organ] for organ in organs[len(ORGAN_COLOURS) :]}
