import numpy as np
import pytest

from scripts.evaluation.figures.classes import (
    class_confusion,
    confusion_matrix,
    merge_unknown,
    pixel_accuracy,
)

NAMES = ["background", "liver", "bone", "kidney"]
ALL, NO_KIDNEY = [True] * 4, [True, True, True, False]


@pytest.fixture
def maps():
    """Prediction and annotation (40, 40), the annotation without kidney."""
    random = np.random.default_rng(0)
    return random.integers(0, 4, (40, 40)), random.integers(0, 3, (40, 40))


def test_matrix_then_counts_every_pair(maps):
    prediction, annotation = maps
    matrix = confusion_matrix(prediction, annotation, ALL)
    for row in range(4):
        for column in range(4):
            both = (annotation == row) & (prediction == column)
            assert matrix[row, column] == both.sum()


def test_matrix_when_a_class_is_unknown_then_it_is_background(maps):
    prediction, annotation = maps
    matrix = confusion_matrix(prediction, annotation, NO_KIDNEY)
    assert not matrix[3].any()
    assert not matrix[:, 3].any()
    assert matrix[1, 0] == ((annotation == 1) & np.isin(prediction, [0, 3])).sum()
    assert matrix.sum() == annotation.size


def test_class_against_the_others_then_as_counted_by_masks(maps):
    prediction, annotation = maps
    found = class_confusion(confusion_matrix(prediction, annotation, ALL), 2)
    ours, manual = prediction == 2, annotation == 2
    assert found.tp == (ours & manual).sum()
    assert found.iou == pytest.approx((ours & manual).sum() / (ours | manual).sum())
    assert found.dice == pytest.approx(2 * (ours & manual).sum() / (ours.sum() + manual.sum()))
    assert found.tn == (~ours & ~manual).sum()


def test_accuracy_then_share_of_equal_voxels_and_undefined_without_any(maps):
    matrix = confusion_matrix(*maps, ALL)
    assert pixel_accuracy(matrix) == pytest.approx((maps[0] == maps[1]).mean())
    assert np.isnan(pixel_accuracy(np.zeros((2, 2), np.int64)))


def test_merging_then_keeps_the_type():
    assert merge_unknown(np.array([3, 1], np.uint8), NO_KIDNEY).dtype == np.uint8


@pytest.mark.parametrize(
    ("prediction", "annotation", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "must have one shape"),
        (np.full((2, 2), 4), np.zeros((2, 2), int), r"prediction: must be classes 0..3, got 4"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), r"annotation: must be classes 0..3, got -1"),
    ],
)
def test_matrix_of_what_cannot_be_counted_then_is_refused(prediction, annotation, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(prediction, annotation, ALL)
