from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from scripts.evaluation.packed_slices import PackedArray
from scripts.evaluation.series import EvaluatedSlices, Sphere, assemble_series

CASES: list[dict[str, Any]] = [
    {"series_uid": "1.2", "patient_id": "a", "nodules": [{"id": 1, "diameter_mm": 5.0}]},
    {"series_uid": "1.2", "patient_id": "a", "nodules": [{"id": 2, "diameter_mm": 7.0}]},
    {"series_uid": "1.1", "patient_id": "b"},
]


def _slice(case: int, index: int, *, predicted: int = 0, nodule: int = 0, **changes: Any) -> Any:
    prediction, instances = np.zeros((2, 1, 4, 4), np.uint8)
    prediction[0, 0, :predicted] = 1
    instances[0, nodule, nodule] = nodule
    facts = {"spacing_mm": (2.0, 1.0, 1.0), "whole": False, **changes}
    packed = PackedArray.pack(prediction), PackedArray.pack(instances)
    return EvaluatedSlices(case, index, *packed, **facts)


def test_packed_array_round_trip_is_small() -> None:
    array = np.zeros((4, 256, 256), np.int64)
    array[2, 5:9, 7:9] = 200
    packed = PackedArray.pack(array)
    assert np.array_equal(packed.unpack(), array)
    assert len(packed.data) < array.size / 100


@pytest.mark.parametrize("value", [256, -1, 0.5])
def test_pack_when_value_does_not_fit_raises(value: float) -> None:
    with pytest.raises(ValueError, match=f"whole numbers 0..255, got {value}"):
        PackedArray.pack(np.array([value]))


def test_slices_of_a_series_come_in_order_whatever_order_they_were_evaluated_in() -> None:
    items = [_slice(1, 9, nodule=2), _slice(2, 3), _slice(0, 4, nodule=1)]
    first, second = assemble_series(items, CASES)
    assert (first.uid, second.uid) == ("1.1", "1.2")
    assert second.slices.tolist() == [4, 9]
    assert second.cases == [0, 1]
    assert [int(plane.max()) for plane in second.instances] == [1, 2]
    assert second.nodules == {1: Sphere(5.0), 2: Sphere(7.0)}
    assert second.is_whole is None


def test_slice_that_comes_twice_counts_once_with_both_nodules(
    caplog: pytest.LogCaptureFixture,
) -> None:
    items = [_slice(1, 4, nodule=2, predicted=2), _slice(0, 4, nodule=1, predicted=2)]
    with caplog.at_level(logging.WARNING):
        (series,) = assemble_series(items, CASES)
    assert np.unique(series.instances).tolist() == [0, 1, 2]
    assert (series.duplicates, series.contradictions) == (1, 0)
    assert not caplog.records


def test_slice_predicted_in_two_ways_keeps_the_lower_case_and_warns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    items = [_slice(1, 4, predicted=2), _slice(0, 4, predicted=1)]
    with caplog.at_level(logging.WARNING):
        (series,) = assemble_series(items, CASES)
    assert series.prediction.sum() == 1
    assert series.contradictions == 1
    assert "were evaluated twice with different predictions" in caplog.text


def test_series_is_whole_when_a_volume_or_all_its_slices_came() -> None:
    cases = [{**CASES[0], "slices_in_volume": 2}, {**CASES[1], "slices_in_volume": 2}]
    (half,) = assemble_series([_slice(0, 0)], cases)
    (both,) = assemble_series([_slice(0, 0), _slice(1, 1)], cases)
    (volume,) = assemble_series([_slice(0, 0, whole=True)], CASES)
    assert (half.is_whole, both.is_whole, volume.is_whole) == (False, True, True)


def test_slices_of_other_spacing_are_refused() -> None:
    with pytest.raises(ValueError, match="series 1.2 must have one size and spacing"):
        list(assemble_series([_slice(0, 0), _slice(1, 1, spacing_mm=(3.0, 1.0, 1.0))], CASES))


def test_listed_centres_and_findings_are_indices_of_the_volume() -> None:
    affine = np.array([[-2.0, 0, 0, 10], [0, 1, 0, 0], [0, 0, 4, -8], [0, 0, 0, 1]])
    nodule = {"id": 1, "diameter_mm": 5.0, "centre_lps_mm": [6.0, 3.0, 4.0]}
    finding = {"diameter_mm": 10.0, "centre_lps_mm": [10.0, 0.5, -8.0]}
    case = {**CASES[0], "nodules": [nodule], "excluded": [finding]}
    (series,) = assemble_series([_slice(0, 4, affine_lps=affine)], [case])
    assert series.nodules == {1: Sphere(5.0, (3.0, 3.0, 2.0))}
    assert series.excluded == (Sphere(10.0, (0.0, 0.5, 0.0)),)
    with pytest.raises(ValueError, match="excluded findings need affine_lps"):
        list(assemble_series([_slice(0, 4)], [case]))
