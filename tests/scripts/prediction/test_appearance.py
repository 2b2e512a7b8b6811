import dataclasses

import pytest

from scripts.evaluation.colours import OURS_COLOUR
from scripts.prediction.appearance import ORGAN_COLOURS, colours_of, first_window, headline
from scripts.prediction.measures.statistics import measure
from scripts.prediction.result import Segment
from tests.scripts.prediction.shapes import abdomen, chest


def test_organ_looked_for_and_not_found_then_named_and_never_taken_for_no_finding():
    assert headline(measure(abdomen())) == "Liver, bone; not found: kidney"
    nothing = abdomen()
    nothing.mask[...] = 0
    assert headline(measure(nothing)) == "Not found: liver, bone, kidney"


def test_colours_then_one_for_nodules_and_each_organ_its_own():
    nodules = [Segment(n, "nodule", f"nodule {n}") for n in (1, 2)]
    organs = [Segment(n, f"organ{n}", f"organ{n}") for n in (3, 4)]
    colours = colours_of([*nodules, *organs])
    assert colours[1] == colours[2] == OURS_COLOUR
    assert len(set(colours.values())) == 3


def test_colours_when_more_organs_than_colours_then_they_repeat():
    organs = [Segment(n, f"organ{n}", f"organ{n}") for n in range(1, len(ORGAN_COLOURS) + 2)]
    colours = colours_of(organs)
    assert OURS_COLOUR not in colours.values()
    assert colours[1] == colours[len(ORGAN_COLOURS) + 1] != colours[2]


def test_first_window_then_of_the_lungs_only_where_they_were_looked_at():
    assert first_window(chest()) == "lung"
    assert first_window(abdomen()) == "soft tissue"
    without = dataclasses.replace(chest(nodules=0), segments=())
    assert first_window(without) == "lung"
    assert first_window(dataclasses.replace(without, lungs=None)) == "soft tissue"


@pytest.mark.parametrize(
    ("nodules", "words"), [(1, "1 nodule"), (3, "3 nodules")], ids=["one", "several"]
)
def test_headline_then_counts_the_nodules(nodules, words):
    assert headline(measure(chest(nodules=nodules))) == words
