import dataclasses

import pytest

from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.appearance import (
    first_window,
    headline,
    lesion_word,
    missed_lesions,
    plural,
)
from scripts.prediction.result import Segment
from tests.scripts.prediction.shapes import abdomen, chest


def test_organ_looked_for_and_not_found_then_named_and_never_taken_for_no_finding():
    assert headline(measure(abdomen())) == "Liver, bone; not found: kidney"
    nothing = abdomen()
    nothing.mask[...] = 0
    assert headline(measure(nothing)) == "Not found: liver, bone, kidney"


def showing(segments, **changes):
    return dataclasses.replace(
        chest(nodules=0), segments=tuple(segments), **{"lungs": None, **changes}
    )


def test_first_window_then_of_the_lungs_only_where_they_were_looked_at():
    assert first_window(chest()) == "lung"
    assert first_window(abdomen()) == "soft tissue"
    without = dataclasses.replace(chest(nodules=0), segments=())
    assert first_window(without) == "lung"
    assert first_window(dataclasses.replace(without, lungs=None)) == "soft tissue"


@pytest.mark.parametrize(
    ("window_hu", "name"),
    [
        ((-1000, 400), "lung"),
        ((-150, 250), "soft tissue"),
        ((-400, 1000), "bone"),
        (None, "soft tissue"),
    ],
)
def test_first_window_without_lungs_then_nearest_to_the_networks(window_hu, name):
    assert first_window(showing((), facts={"window_hu": window_hu})) == name


def test_lesions_of_a_class_of_ones_own_then_called_by_its_name():
    segments = [Segment(n, "liver tumour", f"liver tumour {n}", lesion=True) for n in (1, 2)]
    prediction = dataclasses.replace(chest(nodules=2), segments=tuple(segments))
    statistics = measure(prediction)
    assert headline(statistics) == "2 liver tumours"
    assert lesion_word(statistics) == "liver tumour"
    assert [segment.label for segment in segments] == ["1", "2"]


def test_lesions_of_two_kinds_then_each_counted_and_the_other_missed():
    facts = {"looked_for": ["cyst", "metastasis"], "lesion_kinds": ["cyst", "metastasis"]}
    found = [Segment(n, "cyst", f"cyst {n}", lesion=True) for n in (1, 2)]
    statistics = measure(dataclasses.replace(chest(nodules=2), segments=tuple(found), facts=facts))
    assert headline(statistics) == "2 cysts; no metastasis found"
    assert missed_lesions(statistics) == ["metastasis"]
    assert plural(lesion_word(statistics)) == "lesions"


@pytest.mark.parametrize(
    ("nodules", "words"), [(1, "1 nodule"), (3, "3 nodules")], ids=["one", "several"]
)
def test_headline_then_counts_the_nodules(nodules, words):
    assert headline(measure(chest(nodules=nodules))) == words
