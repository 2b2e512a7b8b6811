import itertools

import numpy as np
from matplotlib.colors import to_rgb

from scripts.evaluation.pictures.colours import (
    BACKGROUND,
    COLOURS,
    MANUAL_COLOUR,
    OURS_COLOUR,
    QUIET,
    TEXT,
)


def luminance(colour):
    """Relative luminance of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_colours_then_distinct_and_none_grey():
    for one, other in itertools.combinations(COLOURS, 2):
        assert np.linalg.norm(np.subtract(to_rgb(one), to_rgb(other))) > 0.25
    assert all(np.ptp(to_rgb(colour)) > 0.3 for colour in COLOURS)


def test_outlines_then_of_two_colours_of_the_palette():
    assert MANUAL_COLOUR != OURS_COLOUR
    assert {MANUAL_COLOUR, OURS_COLOUR} <= set(COLOURS)


def test_text_then_readable_on_the_page():
    for colour in (TEXT, QUIET):
        contrast = (luminance(colour) + 0.05) / (luminance(BACKGROUND) + 0.05)
        assert contrast > 4.5
