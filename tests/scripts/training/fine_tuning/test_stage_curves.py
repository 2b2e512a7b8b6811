"""What the picture of a training shows, read from the figure that is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.training.fine_tuning.stage_curves import NAMED_STAGES, draw_curves
from scripts.training.fine_tuning.stage_record import Epoch, Score
from scripts.training.fine_tuning.stages import StagedFineTuning
from tests.scripts.training.tiny_training import TWO_STAGES, TinyTraining, stage, strategy

DICE = {2: 0.4, 3: 0.7, 5: 0.6}
"""Dice by epoch; the first and the fourth epoch have no validation."""


def recorded(folder: Path, plan: dict[str, Any] = TWO_STAGES) -> StagedFineTuning:
    """Stages of 2 and 3 epochs, validated in three of them."""
    stages = TinyTraining(folder, strategy=plan).stages
    for epoch in range(1, 6):
        metrics = {"val_dice": DICE[epoch], "val_loss": 1 - DICE[epoch]} if epoch in DICE else {}
        number, first = (0, 1) if epoch < 3 else (1, 3)
        stages.record.history.append(
            Epoch(epoch, number, epoch - first + 1, 1 / epoch, 1.0, metrics)
        )
    stages.record.scores = [Score(2, 0.4, {}), Score(3, 0.7, {})]
    return stages


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved from now on."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def curves(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """Points of the labelled lines."""
    return {
        str(line.get_label()): [tuple(point) for point in line.get_xydata()]
        for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    }


def names(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_panels_then_have_the_losses_of_all_epochs_and_the_metric_of_the_validated(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw_curves(recorded(tmp_path), tmp_path / "curves.png", best=1)
    loss, metric = drawn[0].axes
    assert curves(loss) == {"training loss": [(epoch, 1 / epoch) for epoch in range(1, 6)]}
    assert curves(metric) == {"validation dice": list(DICE.items())}
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_stages_then_are_bands_from_half_an_epoch_before_to_half_an_epoch_after(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw_curves(recorded(tmp_path), tmp_path / "curves.png", best=1)
    loss, metric = drawn[0].axes
    for axes in (loss, metric):
        (band,) = axes.patches
        assert (band.get_x(), band.get_width()) == (2.5, 3.0)  # the second stage, epochs 3 to 5
    assert names(loss) == ["A: block2", "B: block1"]
    assert names(metric) == []


def test_best_epochs_then_are_rings_and_the_best_of_all_a_dot_with_its_value(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw_curves(recorded(tmp_path), tmp_path / "curves.png", best=1)
    metric = drawn[0].axes[-1]
    marks = [line for line in metric.get_lines() if line.get_marker() == "o"]
    found = [(*line.get_xydata()[0], line.get_fillstyle()) for line in marks]
    assert found == [(2.0, 0.4, "none"), (3.0, 0.7, "none"), (3.0, 0.7, "full")]
    assert metric.get_title() == "rings: best of a stage; dot: best of all, 0.7000 in epoch 3"


def test_best_epochs_when_there_was_no_validation_then_nothing_is_marked(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    stages = TinyTraining(tmp_path).stages
    stages.record.history = [Epoch(1, 0, 1, 0.5, 1.0, {})]
    draw_curves(stages, tmp_path / "curves.png", best=None)
    metric = drawn[0].axes[-1]
    assert curves(metric) == {"validation dice": []}
    assert metric.get_title() == ""


def test_further_metrics_then_losses_join_the_training_loss_and_others_get_their_own_panel(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    stages = recorded(tmp_path)
    for further in ([], ["val_loss"], ["val_loss", "val_iou", "val_accuracy"]):
        draw_curves(stages, tmp_path / "curves.png", best=0, drawn=further)
    plain, joined, panels = drawn
    assert [len(figure.axes) for figure in drawn] == [2, 2, 4]
    loss = curves(joined.axes[0])["validation loss"]
    assert loss == [(epoch, 1 - dice) for epoch, dice in DICE.items()]
    labels = [axes.get_ylabel() for axes in panels.axes]
    assert labels == ["loss", "validation iou", "validation accuracy", "validation dice"]
    assert plain.get_figheight() < panels.get_figheight()


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (NAMED_STAGES, [f"{i}: so lon…" for i in range(NAMED_STAGES)]),
        (NAMED_STAGES + 1, [str(i + 1) for i in range(NAMED_STAGES + 1)]),
        (45, [str(i) for i in range(1, 46, 2)]),
    ],
    ids=["names cut short", "numbers", "every second number"],
)
def test_stage_names_when_there_are_many_then_shorter(
    tmp_path: Path, drawn: list[Figure], count: int, expected: list[str]
) -> None:
    plan = strategy(*(stage(["decoder"], epochs=1) for _ in range(count)))
    for number, each in enumerate(plan["stages"]):
        each["name"] = f"{number}: so long a name"
    stages = TinyTraining(tmp_path, strategy=plan).stages
    stages.record.history = [Epoch(n + 1, n, 1, 0.5, 1.0, {}) for n in range(count)]
    draw_curves(stages, tmp_path / "curves.png", best=None)
    assert names(drawn[0].axes[0]) == expected
