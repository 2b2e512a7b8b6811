import math

import pytest
import torch
from ignite.engine import Engine

from scripts.evaluation.figures.presence import PresenceAUC, presence_metrics
from scripts.transforms.class_presence import UNKNOWN

NAMES = ["liver", "bone"]
PRESENCE = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, UNKNOWN], [0.0, 0.0]])
LOGITS = torch.tensor([[3.0, 0.1], [1.0, 0.9], [2.0, -9.0], [2.5, 0.5]])


def auc_of(batches, **options):
    """Run an engine whose output is two lists, as MONAI's evaluators have it."""
    engine = Engine(lambda _, batch: batch)
    PresenceAUC(NAMES, **options).attach(engine, "auc")
    return engine.run(batches).metrics["auc"]


def pairs(logits, presence):
    return list(logits), list(presence)


def rank_auc(scores, shown):
    """Share of pairs (shown, not shown) in the right order."""
    good = [a > b for a, s in zip(scores, shown, strict=True) if s for b, t in
            zip(scores, shown, strict=True) if not t]  # fmt: skip
    return sum(good) / len(good)


def test_auc_of_a_class_then_pairs_in_the_right_order_over_all_batches():
    batches = [pairs(LOGITS[:3], PRESENCE[:3]), pairs(LOGITS[3:], PRESENCE[3:])]
    expected = rank_auc(LOGITS[:, 0].tolist(), PRESENCE[:, 0].tolist())
    assert expected == 0.75
    assert auc_of(batches, of="liver") == pytest.approx(expected)


def test_image_in_which_a_class_is_unknown_then_not_counted():
    # with the third image counted as one without bone, it would be 0.67
    assert auc_of([pairs(LOGITS, PRESENCE)], of="bone") == pytest.approx(0.5)


def test_no_class_named_then_the_mean_of_those_that_have_a_figure():
    assert auc_of([pairs(LOGITS, PRESENCE)]) == pytest.approx((0.75 + 0.5) / 2)
    always = PRESENCE.clone()
    always[:, 1] = 1
    assert auc_of([pairs(LOGITS, always)]) == pytest.approx(0.75)


def test_class_that_every_image_shows_then_no_figure():
    assert math.isnan(auc_of([pairs(LOGITS, torch.ones(4, 2))], of="bone"))


def test_a_network_of_one_class_then_its_figure():
    engine = Engine(lambda _, batch: batch)
    PresenceAUC(["liver"]).attach(engine, "auc")
    batch = pairs(LOGITS[:, :1], PRESENCE[:, :1])
    assert engine.run([batch]).metrics["auc"] == pytest.approx(0.75)


def test_class_that_there_is_not_then_refused():
    with pytest.raises(ValueError, match="of: must be one of liver, bone, got 'spleen'"):
        PresenceAUC(NAMES, of="spleen")


def test_presence_metrics_then_one_for_each_class():
    metrics = presence_metrics(["liver", "liver tumour"])
    assert {name: metric.chosen for name, metric in metrics.items()} == {
        "val_auc_liver": [0],
        "val_auc_liver_tumour": [1],
    }
