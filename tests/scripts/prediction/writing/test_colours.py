"""Every segment has a colour of its own, and an organ that of its class everywhere."""

from __future__ import annotations

from dataclasses import replace

from scripts.datasets.segment_classes import classes_of
from scripts.datasets.segment_colours import LESION_COLOUR
from scripts.prediction.result import Segment
from scripts.prediction.writing.colours import colours_of
from tests.scripts.prediction.shapes import chest, nodule


def showing(segments, **changes):
    return replace(chest(nodules=0), segments=tuple(segments), lungs=None, **changes)


def test_colours_then_of_the_classes_and_further_lesions_their_own():
    codes = {"liver": {"colour": "#010203"}}
    meanings = classes_of(["nodule", "liver", "bone"], codes, lesions=["nodule"])
    segments = [Segment(1, "liver", "liver"), Segment(2, "bone", "bone"), nodule(3), nodule(4)]
    colours = colours_of(showing(segments, meanings=meanings))
    assert colours[1] == "#010203"
    assert colours[2] == meanings["bone"].colour
    assert colours[3] == LESION_COLOUR
    assert len(set(colours.values())) == 4


def test_colours_of_lesions_of_two_classes_then_all_different():
    lesions = [Segment(n, kind, f"{kind} {n}", lesion=True) for n, kind in enumerate("aab", 1)]
    assert len(set(colours_of(showing(lesions)).values())) == 3


def test_colours_of_300_lesions_then_all_different_and_the_first_ones_as_of_few():
    many = colours_of(showing([nodule(number) for number in range(1, 301)]))
    assert len(set(many.values())) == 300
    few = colours_of(showing([nodule(number) for number in range(1, 6)]))
    assert few == {number: many[number] for number in few}
