from __future__ import annotations

import math

import numpy as np
import pytest

from scripts.evaluation.figures.confusion import Confusion
from scripts.evaluation.figures.nodules import evaluate_nodules, size_group
from scripts.evaluation.series import Sphere
from tests.scripts.evaluation.scans import make_series


def test_nodule_counts_its_neighbourhood_only() -> None:
    series = make_series(nodules={1: Sphere(4.0)})
    series.instances[3:5, 10:14, 10:14] = 1
    series.prediction[3:5, 10:14, 10:16] = True  # 16 right, 16 too many
    series.prediction[:, 28:30, 28:30] = True  # far away: not this nodule's matter
    (result,) = evaluate_nodules(series, (), margin_mm=4.0)
    assert result.confusion.tp == 32
    assert result.confusion.fp == 16
    assert result.confusion.fn == 0
    # slices 1..6 (two slices of 2 mm each way), 12 x 12 in plane
    assert result.confusion.tn == 6 * 12 * 12 - 48
    assert result.slices == 2
    assert result.diameter_mm == 4.0
    assert result.is_diameter_annotated


def test_margin_is_read() -> None:
    series = make_series()
    series.instances[3, 10:14, 10:14] = 1
    sizes = [
        sum(vars(evaluate_nodules(series, (), margin_mm=margin)[0].confusion).values())
        for margin in (0.0, 1.0, 2.0)
    ]
    assert sizes == [16, 36, 3 * 64]


@pytest.mark.parametrize(
    ("slices", "nodule", "behind"),
    [([3, 5, 6, 7], 2, 0), ([3, 4, 5, 7], 1, 3)],
    ids=["towards the feet", "towards the head"],
)
def test_neighbourhood_ends_before_a_slice_that_was_not_evaluated(
    slices: list[int], nodule: int, behind: int
) -> None:
    series = make_series((4, 32, 32), slices=np.array(slices))
    series.instances[nodule, 10:14, 10:14] = 1
    series.prediction[[nodule, behind], 10:14, 10:14] = True  # 6 mm apart, with a gap between
    (result,) = evaluate_nodules(series, (), margin_mm=6.0)
    assert (result.confusion.tp, result.confusion.fp) == (16, 0)
    assert sum(vars(result.confusion).values()) == 3 * 16 * 16
    assert result.distance.kind == "3d"


def test_neighbouring_nodule_is_left_out_of_both() -> None:
    series = make_series()
    series.instances[4, 10:14, 10:14] = 1
    series.instances[4, 10:14, 15:19] = 2
    series.prediction[4, 10:14, 15:19] = True
    first, second = evaluate_nodules(series, {2}, margin_mm=5.0)
    # 5 slices of 14 x 14, without the 16 voxels of the other nodule
    assert first.confusion == Confusion(tp=0, fp=0, fn=16, tn=5 * 14 * 14 - 32)
    assert second.confusion == Confusion(tp=16, fp=0, fn=0, tn=5 * 14 * 14 - 32)
    assert not first.is_detected
    assert second.is_detected


def test_diameter_without_annotation_is_of_the_mask() -> None:
    series = make_series()
    series.instances[4, 10:14, 10:14] = 3
    (result,) = evaluate_nodules(series, ())
    assert not result.is_diameter_annotated
    assert result.diameter_mm == pytest.approx(2 * math.sqrt(16 / math.pi))


@pytest.mark.parametrize(
    ("slices", "kind"),
    [
        pytest.param([4, 5, 6], "3d", id="consecutive"),
        pytest.param([4, 6, 7], "undefined", id="gap inside the nodule"),
    ],
)
def test_distance_kind_follows_the_evaluated_slices(slices: list[int], kind: str) -> None:
    series = make_series((3, 32, 32), slices=np.array(slices))
    series.instances[:, 10:14, 10:14] = 1
    series.prediction[:, 10:14, 12:16] = True
    (result,) = evaluate_nodules(series, ())
    assert result.distance.kind == kind
    assert math.isnan(result.distance.hd95_mm) == (kind == "undefined")


@pytest.mark.parametrize("slices", [[4], [4, 7]])
def test_distance_of_a_lone_slice_is_measured_in_its_plane(slices: list[int]) -> None:
    series = make_series((len(slices), 32, 32), slices=np.array(slices))
    series.instances[0, 8:16, 8:16] = 1
    series.prediction[0, 8:17, 8:16] = True  # one row of 1 mm too many, slices are 2 mm apart
    (result,) = evaluate_nodules(series, ())
    assert result.distance.kind == "in_plane"
    assert result.distance.hd95_mm == pytest.approx(1.0)


def test_distance_of_a_missed_nodule_is_undefined() -> None:
    series = make_series()
    series.instances[4, 8:16, 8:16] = 1
    (result,) = evaluate_nodules(series, ())
    assert result.distance.kind == "undefined"
    assert math.isnan(result.distance.assd_mm)


@pytest.mark.parametrize(
    ("diameter", "group"),
    [
        (5.99, "under_6_mm"),
        (6, "6_to_10_mm"),
        (10, "6_to_10_mm"),
        (10.01, "10_to_20_mm"),
        (20, "10_to_20_mm"),
        (20.01, "over_20_mm"),
    ],
)
def test_size_group_at_its_borders(diameter: float, group: str) -> None:
    assert size_group(diameter) == group


@pytest.mark.parametrize("diameter", [0.0, -1.0, math.nan])
def test_size_group_of_no_diameter_raises(diameter: float) -> None:
    with pytest.raises(ValueError, match="diameter_mm: must be above 0"):
        size_group(diameter)
