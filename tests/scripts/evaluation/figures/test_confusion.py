from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import ConfusionMatrixMetric, DiceMetric, MeanIoU

from scripts.evaluation.figures.confusion import Confusion, count_voxels


def test_figures_of_known_counts_are_the_formulas() -> None:
    counts = Confusion(tp=6, fp=2, fn=1, tn=11)
    assert counts.sensitivity == pytest.approx(6 / 7)
    assert counts.specificity == pytest.approx(11 / 13)
    assert counts.dice == pytest.approx(12 / 15)
    assert counts.iou == pytest.approx(6 / 9)
    # the printed formula 2TP/(FP+FN) of one source would be 4
    assert counts.dice <= 1


@pytest.mark.parametrize(
    ("counts", "dice", "sensitivity", "specificity"),
    [
        pytest.param(Confusion(0, 0, 0, 9), 1.0, math.nan, 1.0, id="both empty"),
        pytest.param(Confusion(0, 3, 0, 6), 0.0, math.nan, 6 / 9, id="predicted in empty"),
        pytest.param(Confusion(0, 0, 4, 5), 0.0, 0.0, 1.0, id="missed"),
        pytest.param(Confusion(9, 0, 0, 0), 1.0, 1.0, math.nan, id="all annotated"),
    ],
)
def test_figures_of_empty_cases_follow_the_rule(
    counts: Confusion, dice: float, sensitivity: float, specificity: float
) -> None:
    assert counts.dice == counts.iou == dice
    assert counts.sensitivity == pytest.approx(sensitivity, nan_ok=True)
    assert counts.specificity == pytest.approx(specificity, nan_ok=True)


def test_kinds_of_empty_cases_are_distinguished() -> None:
    assert Confusion(0, 0, 0, 1).is_empty
    assert Confusion(0, 1, 0, 1).is_false_alarm
    assert Confusion(0, 0, 1, 1).is_missed
    assert not Confusion(1, 1, 1, 1).is_missed
    assert not Confusion(1, 1, 1, 1).is_false_alarm


def test_sum_then_of_each_count() -> None:
    total = Confusion(tp=1, fp=2, fn=3, tn=4) + Confusion(tp=10, fp=20, fn=30, tn=40)
    assert total == Confusion(tp=11, fp=22, fn=33, tn=44)


def test_figures_agree_with_monai_on_random_masks() -> None:
    rng = np.random.default_rng(0)
    prediction, annotation = rng.random((2, 7, 16, 16)) < 0.3
    mine = [count_voxels(p, a) for p, a in zip(prediction, annotation, strict=True)]
    predicted = torch.from_numpy(prediction[:, None]).float()
    annotated = torch.from_numpy(annotation[:, None]).float()
    for metric, name in [(DiceMetric, "dice"), (MeanIoU, "iou")]:
        theirs = metric(reduction="none")(predicted, annotated)[:, 0].tolist()
        assert theirs == pytest.approx([getattr(counts, name) for counts in mine], rel=1e-6)
    matrix = ConfusionMatrixMetric(metric_name=("sensitivity", "specificity"), reduction="none")
    matrix(predicted, annotated)
    sensitivity, specificity = (figure[:, 0].tolist() for figure in matrix.aggregate())
    assert sensitivity == pytest.approx([c.sensitivity for c in mine], rel=1e-6)
    assert specificity == pytest.approx([c.specificity for c in mine], rel=1e-6)


def test_dice_of_empty_cases_agrees_with_monai_not_ignoring_them() -> None:
    empty, full = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    metric = DiceMetric(ignore_empty=False, reduction="none")
    assert metric(empty, empty).item() == Confusion(0, 0, 0, 16).dice
    assert metric(full, empty).item() == Confusion(0, 16, 0, 0).dice


def test_count_voxels_within_leaves_the_rest_out() -> None:
    everywhere = np.ones((4, 4), bool)
    within = np.zeros((4, 4), bool)
    within[0] = True
    assert count_voxels(everywhere, everywhere, within=within) == Confusion(4, 0, 0, 0)


def test_count_voxels_when_shapes_differ_raises() -> None:
    with pytest.raises(ValueError, match=r"must have one shape, got .*\(2, 2\)"):
        count_voxels(np.zeros((2, 2), bool), np.zeros((2, 3), bool))


def test_confusion_when_negative_raises() -> None:
    with pytest.raises(ValueError, match="at least 0.*-1"):
        Confusion(tp=-1)
