from pathlib import Path

import pytest

from scripts.datasets.contract import Scan
from scripts.preparation.slices import (
    class_slices,
    draw_empty,
    empty_candidates,
    empty_quotas,
    expected_slices,
    object_slices,
)

NODULES = [{"slices": [3, 4, 5], "central": 4}, {"slices": [5, 6], "central": 5}]


def test_slices_of_nodules_then_central_or_all():
    assert object_slices(NODULES, "central") == [4, 5]
    assert object_slices(NODULES, "all") == [3, 4, 5, 6]


@pytest.mark.parametrize(("slice_mm", "first"), [(2.5, 8), (1.0, 11), (6.0, 7)], ids=str)
def test_empty_slices_then_5_mm_from_the_nodule(slice_mm, first):
    assert empty_candidates([9] * 20, [(0, 6)], slice_mm)[0] == first


def test_empty_slices_then_inside_the_lungs():
    assert empty_candidates([0, 5, 100, 100, 9, 10], [], 1.0) == [2, 3, 5]
    assert empty_candidates([0, 0], [], 1.0) == []


def test_draw_then_fewer_are_the_first_of_more_and_seeds_differ():
    more = draw_empty(range(50), 10, seed=0, uid="a")
    assert draw_empty(range(50), 4, seed=0, uid="a") == more[:4]
    assert draw_empty(range(50), 10, seed=1, uid="a") != more
    assert draw_empty(range(50), 10, seed=0, uid="b") != more


def test_quotas_then_enough_in_sum_and_stable_when_scans_are_added():
    uids = [f"u{i}" for i in range(200)]
    quotas = empty_quotas(uids, 300, share=0.2, seed=0)
    assert sum(quotas.values()) >= 75
    fewer = empty_quotas(uids[:100], 150, share=0.2, seed=0)
    assert sum(fewer[uid] != quotas[uid] for uid in fewer) <= 5
    assert set(empty_quotas(uids, 300, share=0, seed=0).values()) == {0}


def scan(object_slices):
    return Scan("a", "p", (Path("a"),), object_slices=object_slices)


def test_expected_slices_then_from_what_is_known_before_reading():
    scans = [scan((3.5, 2.5)), scan(()), scan((4.0,))]
    assert expected_slices(scans, "central") == 3
    assert expected_slices(scans, "all") == 11
    assert expected_slices([scan(None)], "all") == 9


def test_slices_with_an_organ_then_each_nth_of_these():
    shown = [[0], [0, 2], [1], [0], [0, 1], [1, 2]]
    assert class_slices(shown, {1}, "organ", 1) == [2, 4, 5]
    assert class_slices(shown, {1}, "organ", 2) == [2, 5]
    assert class_slices(shown, {1}, "all", 4) == [0, 4]
