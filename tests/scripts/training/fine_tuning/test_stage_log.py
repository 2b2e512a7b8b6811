"""The lines of a staged training in the log."""

from pathlib import Path

import pytest

from scripts.training.fine_tuning.stage_log import ended, in_millions, released, result
from scripts.training.fine_tuning.stage_options import Stage
from scripts.training.fine_tuning.stage_record import Best


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (99_999, "99999"), (100_000, "0.1 M"), (7_250_000, "7.2 M")]
)
def test_millions_then_only_for_large_counts(count: int, text: str) -> None:
    assert in_millions(count) == text


def test_stage_without_rates_of_its_parts_then_one_rate() -> None:
    stage = Stage("A", ("decoder", "block5"), 2, None, 3e-4)
    line = "released decoder, block5; 1.0 M of 2.0 M parameters train; learning rate 0.0003"
    assert released(stage, 1_000_000, 2_000_000) == line


def test_best_weights_that_are_an_average_then_of_how_many_epochs() -> None:
    line = ended("epochs", 9, "val_dice", Best(0, 8, 0.5, {}, averaged=4))
    assert line.endswith("best val_dice 0.5000 in epoch 8, the average of 4 epochs")


def test_result_then_its_stage_epoch_figure_and_file() -> None:
    stage = Stage("C: block3", ("all",), 2, None, 1e-4)
    line = result(stage, "val_iou", Best(2, 31, 0.91266, {}), Path("out", "model.pt"))
    assert line == "the result is stage 'C: block3', epoch 31, with val_iou 0.9127: out/model.pt"
