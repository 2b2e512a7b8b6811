"""Nodules of two classes, and the made-up readers' XML."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.datasets.luna16.lidc_xml import read_xml
from scripts.datasets.luna16.outlines import Outline, fill
from scripts.phantom.chest.suspicion import (
    Planned,
    draw_looks,
    draw_ratings,
    outlines_around,
    paired,
    plan_nodules,
    readers_xml,
)
from scripts.phantom.files import Geometry

GEOMETRY = Geometry((10.0, 20.0, -50.0), (-1, -1, 1), (0.7, 0.7, 1.5))


def plans(*, matched: bool) -> list[list[Planned]]:
    return [
        plan_nodules(np.random.default_rng(seed), (5.0, 20.0), matched_sizes=matched)
        for seed in range(200)
    ]


def test_matched_plan_then_pairs_of_one_diameter_and_both_classes() -> None:
    for plan in plans(matched=True):
        for first, second in zip(plan[::2], plan[1::2], strict=True):
            assert first.diameter_mm == second.diameter_mm
            assert first.suspicious is not second.suspicious


def test_plan_when_not_matched_then_suspicious_ones_are_larger() -> None:
    every = [one for plan in plans(matched=False) for one in plan]
    sizes = {
        c: np.log([one.diameter_mm for one in every if one.suspicious is c]) for c in (True, False)
    }
    assert sizes[True].mean() > sizes[False].mean() + 0.4
    assert {len(plan) for plan in plans(matched=False)} == {1, 2, 3, 4}


def test_paired_then_without_those_whose_partner_has_no_place() -> None:
    plan = [Planned(True, 8.0), Planned(False, 8.0), Planned(True, 9.0), Planned(False, 9.0)]
    assert paired(plan, [1, 2, 3]) == [2, 3]
    assert paired(plan, [0, 2]) == []


def test_looks_then_suspicious_ones_are_rougher_and_others_often_calcified() -> None:
    rng = np.random.default_rng(0)
    looks = {c: [draw_looks(rng, suspicious=c) for _ in range(200)] for c in (True, False)}
    heights = {c: np.median([np.abs(one[2]).mean() for one in looks[c]]) for c in looks}
    assert heights[True] > 3 * heights[False]
    dense = {c: np.mean([one[4][1] > 250 for one in looks[c]]) for c in looks}
    assert dense[False] > 0.3 > 0.1 > dense[True]


def test_ratings_then_one_for_each_reader_around_their_class() -> None:
    rng = np.random.default_rng(0)
    means = [np.mean([draw_ratings(rng, suspicious=c) for _ in range(300)]) for c in (True, False)]
    assert means[0] == pytest.approx(4.1, abs=0.15)
    assert means[1] == pytest.approx(1.9, abs=0.15)


def test_outlines_then_filled_they_give_the_mask_again() -> None:
    y, x = np.mgrid[:40, :44]
    mask = ((x - 12) ** 2 + (y - 15) ** 2 < 60) | ((x - 31) ** 2 / 2 + (y - 20) ** 2 < 40)
    outlines = [
        Outline(0.0, True, np.array([(column, row) for row, column in points]))
        for points in outlines_around(mask)
    ]
    assert len(outlines) == 2
    np.testing.assert_array_equal(fill(outlines, mask.shape), mask)


def test_xml_then_read_like_that_of_lidc(tmp_path) -> None:
    masks = np.zeros((12, 40, 44), np.uint8)
    z, y, x = np.indices(masks.shape)
    for number, centre in ((1, (5, 14, 12)), (2, (7, 26, 31))):
        inside = (2 * (z - centre[0])) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 49
        masks[inside] = number
    text = readers_xml("1.2.3", masks, [True, False], GEOMETRY, np.random.default_rng(0))
    (tmp_path / "a.xml").write_text(text)
    outlines = read_xml(tmp_path / "a.xml", series_uid="1.2.3")
    assert [len(reader) for reader in outlines.readers] == [2] * 4
    ratings = [[n.characteristics["malignancy"] for n in reader] for reader in outlines.readers]
    assert np.median(ratings, axis=0)[0] > 3 > np.median(ratings, axis=0)[1]
    heights = {line.z_mm for line in outlines.readers[0][0].outlines}
    assert {-50 + 1.5 * k for k in (4, 5, 6)} <= heights
    middle = [line for line in outlines.readers[0][0].outlines if line.z_mm == -50 + 1.5 * 5]
    filled = fill(middle, masks.shape[1:])
    assert filled.sum() == pytest.approx((masks[5] == 1).sum(), rel=0.35)
    assert filled[14, 12]
