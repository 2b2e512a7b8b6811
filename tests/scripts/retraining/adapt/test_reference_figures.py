"""Figures of the slices that were not drawn."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.evaluation.figures.confusion import Confusion
from scripts.retraining.adapt.reference_figures import Reference, shown_table, table_rows
from tests.scripts.prediction.shapes import ORDERS, abdomen

NAMES = ("background", "liver", "bone", "kidney")


def reference_of(drawn, **changes):
    labels = drawn.mask.astype(np.uint8).copy()
    return Reference(changes.pop("labels", labels), drawn.affine, NAMES)


@pytest.mark.parametrize("order", [ORDERS[0], ((0, 2, 1), (-1, 1, -1))], ids=["LPS", "reversed"])
def test_drawn_slice_in_any_order_then_left_out(order):
    reference = reference_of(abdomen())
    prediction = abdomen(order=order)
    row = 10 if order[1][0] == 1 else 24 - 1 - 10
    prediction.mask[row] = 0  # wrong on the drawn slice only
    figures = reference.figures(prediction, row)
    assert list(figures) == ["liver", "bone"], "no kidney in the reference"
    assert figures["liver"].dice == figures["bone"].dice == 1.0
    of_liver = abdomen().mask == 1
    assert figures["liver"].tp == of_liver.sum() - of_liver[10].sum()
    assert reference.figures(prediction, 3)["liver"].fn == of_liver[10].sum()


def test_class_that_the_reference_lacks_then_its_voxels_are_background():
    drawn = abdomen()
    without = drawn.mask.astype(np.uint8).copy()
    without[without == 2] = 0
    figures = reference_of(drawn, labels=without).figures(drawn, 0)
    assert list(figures) == ["liver"]
    assert figures["liver"].fp == 0


def test_table_then_a_row_for_each_class_and_tuning():
    figures = {"none": {"liver": Confusion(1, 1, 1, 0)}, "both": {"liver": Confusion(3, 1, 0, 0)}}
    rows = table_rows(figures)
    assert [(row["class"], row["tuning"], row["iou"]) for row in rows] == [
        ("liver", "none", 1 / 3),
        ("liver", "both", 0.75),
    ]
    shown = shown_table(figures).splitlines()
    assert shown[0].split()[-2:] == ["none", "both"]
    assert shown[1].split() == ["liver,", "Dice", "0.500", "0.857"]
