import numpy as np
import pytest
import torch
from ignite.engine import Engine

from scripts.evaluation.class_metric import ClassFigure
from scripts.evaluation.classes import (
    class_confusion,
    confusion_matrix,
    merge_unknown,
    pixel_accuracy,
)
from scripts.transforms.partial_labels import candidate_classes

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


def outputs(maps, known, *, logits):
    """One image as an engine gives it: lists of predictions and of candidates."""
    prediction, annotation = (torch.from_numpy(array) for array in maps)
    shown = torch.nn.functional.one_hot(prediction, 4).permute(2, 0, 1).float()
    pred = shown if logits else prediction[None].float()
    return [pred], [candidate_classes(annotation[None], torch.tensor(known))]


def measure(*batches, **arguments):
    metric = ClassFigure(arguments.pop("figure", "iou"), NAMES, **arguments)
    engine = Engine(lambda _, batch: batch)
    metric.attach(engine, "figure")
    engine.run(list(batches))
    return engine.state.metrics["figure"]


@pytest.mark.parametrize("logits", [True, False], ids=["logits", "values"])
def test_figure_then_pools_voxels_of_all_images(maps, logits):
    swapped = maps[1], maps[1]
    total = confusion_matrix(*maps, ALL) + confusion_matrix(*swapped, ALL)
    batches = [outputs(pair, ALL, logits=logits) for pair in (maps, swapped)]
    expected = [class_confusion(total, value).iou for value in (1, 2, 3)]
    assert measure(*batches) == pytest.approx(np.mean(expected))
    assert measure(*batches, of="bone") == pytest.approx(expected[1])
    dice = [class_confusion(total, value).dice for value in (1, 2, 3)]
    assert measure(*batches, figure="dice") == pytest.approx(np.mean(dice))
    assert measure(*batches, figure="accuracy") == pytest.approx(pixel_accuracy(total))


def test_figure_when_a_class_is_known_nowhere_then_it_enters_no_mean(maps):
    batch = outputs(maps, NO_KIDNEY, logits=True)
    matrix = confusion_matrix(*maps, NO_KIDNEY)
    expected = [class_confusion(matrix, value).iou for value in (1, 2)]
    assert measure(batch) == pytest.approx(np.mean(expected))
    assert np.isnan(measure(batch, of="kidney"))


def test_figure_when_a_class_is_known_in_one_image_then_it_is_measured_there_alone(maps):
    annotation = np.where(np.arange(40) < 20, maps[1], 3)
    known = (maps[0], annotation)
    batches = [outputs(known, ALL, logits=True), outputs(maps, NO_KIDNEY, logits=True)]
    expected = class_confusion(confusion_matrix(*known, ALL), 3).iou
    assert measure(*batches, of="kidney") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"figure": "f1"}, "figure: must be one of iou, dice, accuracy, got 'f1'"),
        ({"of": "spleen"}, "of: must be one of background, liver, bone, kidney"),
        ({"figure": "accuracy", "of": "liver"}, "got 'liver' for accuracy"),
    ],
)
def test_figure_of_something_else_then_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        measure(**arguments)


def test_prediction_of_other_channels_then_is_refused(maps):
    _, candidates = outputs(maps, ALL, logits=True)
    metric = ClassFigure("iou", NAMES)
    with pytest.raises(ValueError, match="pred: must have 1 or 4 channels, got 2"):
        metric.update(([torch.zeros(2, 40, 40)], candidates))
