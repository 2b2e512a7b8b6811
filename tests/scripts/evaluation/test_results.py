import math

import numpy as np
import pytest

from scripts.evaluation.figures.detection import Detection
from scripts.evaluation.results import evaluate_classes, evaluate_instances, pooled_matrix
from tests.scripts.evaluation.scans import make_series

KNOWN = [True, True, False]


@pytest.fixture
def organs():
    """A liver predicted by half, and a predicted kidney where kidneys are unknown."""
    series = make_series((2, 8, 8), prediction=np.zeros((2, 8, 8), np.uint8))
    series.instances[:, :4, :4] = 1
    series.prediction[:, :4, :2], series.prediction[:, 6:, 6:] = 1, 2
    return evaluate_classes(series, KNOWN)


@pytest.mark.parametrize(("length", "whole"), [(4, True), (9, False), (None, None)])
def test_extent_then_that_of_the_series(length, whole):
    facts = {"slices_in_volume": length, "duplicates": 3, "contradictions": 2}
    series = make_series((4, 16, 16), patient="b", **facts)
    for result in (evaluate_instances(series, margin_mm=5.0), evaluate_classes(series, KNOWN)):
        assert (result.uid, result.patient, result.slices) == ("1.2.3", "b", 4)
        assert (result.slices_in_volume, result.is_whole) == (length, whole)
        assert (result.duplicates, result.contradictions) == (3, 2)


def test_nodules_then_figures_per_nodule_slice_and_volume():
    series = make_series((4, 64, 64), slices=np.arange(10, 14))
    series.instances[1:3, 8:14, 8:14] = 1
    series.instances[2, 50:54, 50:54] = 2
    series.prediction[1:3, 8:14, 8:14] = series.prediction[0, 30, 30] = True
    result = evaluate_instances(series, margin_mm=5.0)
    assert [(one.nodule, one.is_detected) for one in result.nodules] == [(1, True), (2, False)]
    assert [(index, nodules) for index, nodules, _ in result.planes] == [
        (10, 0),
        (11, 1),
        (12, 2),
        (13, 0),
    ]
    assert (result.volume.tp, result.volume.fp, result.volume.fn) == (72, 1, 16)
    assert result.detection == Detection(frozenset({1}), 2, 1, 0)
    assert result.distance.kind == "3d"


def test_margin_then_moves_figures_of_nodules_and_not_the_false_positives():
    series = make_series((1, 32, 32))
    series.instances[0, 8:12, 8:12], series.prediction[0, 8:12, 16] = 1, True
    results = [evaluate_instances(series, margin_mm=mm) for mm in (2.0, 6.0)]
    assert [result.nodules[0].confusion.fp for result in results] == [0, 4]
    assert [result.detection.false_positives for result in results] == [1, 1]


def test_classes_then_known_ones_alone_and_unknown_predictions_are_background(organs):
    assert list(organs.classes) == [1]
    confusion, distance = organs.classes[1]
    assert (confusion.tp, confusion.fp, confusion.fn) == (16, 0, 16)
    assert distance.kind == "3d"
    assert organs.matrix.tolist() == [[96, 0, 0], [16, 16, 0], [0, 0, 0]]
    assert organs.voxel_ml == 0.002


def test_mean_then_over_known_foreground_classes(organs):
    assert (organs.mean("iou"), organs.mean("dice")) == (0.5, pytest.approx(2 / 3))
    series = make_series((1, 4, 4), prediction=np.zeros((1, 4, 4), np.uint8))
    assert math.isnan(evaluate_classes(series, [True, False, False]).mean("iou"))


def test_matrices_then_pooled_over_series(organs):
    assert np.array_equal(pooled_matrix([organs, organs], 3), 2 * organs.matrix)
    assert pooled_matrix([], 3).tolist() == [[0, 0, 0]] * 3
