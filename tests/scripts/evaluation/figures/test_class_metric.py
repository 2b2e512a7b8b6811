import numpy as np
import pytest
import torch
from ignite.engine import Engine

from scripts.evaluation.figures.class_metric import ClassFigure, class_metrics
from scripts.evaluation.figures.classes import (
    class_confusion,
    confusion_matrix,
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


def test_class_metrics_then_accuracy_dice_and_the_iou_of_each_class(maps):
    known = outputs(maps, ALL, logits=False)
    items = [{"pred": known[0][0], "label": known[1][0]}]
    engine = Engine(lambda _, batch: batch)
    for name, metric in class_metrics(NAMES).items():
        metric.attach(engine, name)
    engine.run([items])
    expected = {f"val_iou_{name}_pooled": measure(known, of=name) for name in NAMES[1:]}
    figures = ("accuracy", "dice")
    expected |= {f"val_{figure}_pooled": measure(known, figure=figure) for figure in figures}
    assert engine.state.metrics == pytest.approx(expected)
