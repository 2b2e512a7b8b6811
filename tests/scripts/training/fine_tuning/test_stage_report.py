"""The table, the history and the curves of a real, small staged training."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import MeanIoU
from PIL import Image

from scripts.training.fine_tuning import stage_report
from scripts.training.fine_tuning.stage_record import Epoch
from scripts.training.fine_tuning.stage_report import StageReport, time_left
from tests.scripts.training.tiny_training import TinyTraining, stage, strategy

METRICS = ["val_dice", "val_iou"]
UNEQUAL = {
    "name": "unequal",
    "stages": [
        {"name": "A: block2", "trainable": ["decoder", "block2"], "epochs": 2},
        {
            "name": "B: block1",
            "trainable": ["all"],
            "epochs": 4,
            "learning_rates": {"block1": 0.001},
        },
    ],
}


def training(folder: Path, **options: Any) -> TinyTraining:
    made = TinyTraining(folder, strategy=UNEQUAL, **options)
    iou = IgniteMetricHandler(
        metric_fn=MeanIoU(ignore_empty=False), output_transform=from_engine(["pred", "label"])
    )
    iou.attach(made.evaluator, "val_iou")
    return made


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> TinyTraining:
    """A finished training with all its files."""
    made = training(tmp_path_factory.mktemp("reported"))
    report = StageReport(made.output_dir, metrics=METRICS)
    made.trainer([report, made.validation, made.stages]).run()
    return made


def stages_of(made: TinyTraining) -> list[dict[str, Any]]:
    table: dict[str, Any] = json.loads((made.output_dir / "stages.json").read_text())
    assert (table["strategy"], table["metric"]) == (made.stages.strategy.name, "val_dice")
    stages: list[dict[str, Any]] = table["stages"]
    return stages


def history_of(made: TinyTraining) -> list[dict[str, str]]:
    with (made.output_dir / "history.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_table_when_training_ends_then_it_says_what_each_stage_trained(
    reported: TinyTraining,
) -> None:
    first, second = stages_of(reported)
    assert (first["stage"], first["name"], first["epochs"]) == (1, "A: block2", 2)
    assert (second["stage"], second["name"], second["epochs"]) == (2, "B: block1", 4)
    assert first["trainable"] == ["decoder", "block2"]
    parameters = dict(reported.network.named_parameters())
    frozen = sum(t.numel() for n, t in parameters.items() if n.startswith(("conv1", "norm1")))
    total = sum(t.numel() for t in parameters.values())
    assert (first["trainable_parameters"], first["total_parameters"]) == (total - frozen, total)
    assert second["trainable_parameters"] == total
    assert first["learning_rates"] == {"block2": 0.02, "decoder": 0.02}
    assert second["learning_rates"] == {"block1": 0.001, "block2": 0.02, "decoder": 0.02}


def test_table_when_training_ends_then_its_figures_are_those_of_the_best_epochs(
    reported: TinyTraining,
) -> None:
    epochs = history_of(reported)
    for row in stages_of(reported):
        own = [epoch for epoch in epochs if epoch["stage"] == str(row["stage"])]
        best = max(own, key=lambda epoch: float(epoch["val_dice"]))
        assert str(row["best_epoch"]) == best["epoch"]
        assert row["val_dice"] == float(best["val_dice"])
        assert row["val_iou"] == float(best["val_iou"])
        assert row["train_loss"] == float(best["train_loss"])
        seconds = sum(float(epoch["seconds"]) for epoch in own)
        assert row["seconds"] == pytest.approx(seconds, abs=0.01)


def test_table_when_training_ends_then_the_flagged_stage_is_the_result(
    reported: TinyTraining,
) -> None:
    (best,) = [row for row in stages_of(reported) if row["best"]]
    saved = torch.load(reported.output_dir / "model.pt", weights_only=True)
    assert (saved["stage"], saved["epoch"]) == (best["name"], best["best_epoch"])
    assert best["val_dice"] == max(row["val_dice"] for row in stages_of(reported))
    assert best["val_dice"] == round(saved["value"], 6)


def test_table_when_read_as_csv_then_it_says_the_same(reported: TinyTraining) -> None:
    with (reported.output_dir / "stages.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, own in zip(rows, stages_of(reported), strict=True):
        assert list(row) == list(own)
        assert row["trainable"] == " ".join(own["trainable"])
        assert row["val_dice"] == str(own["val_dice"])
        assert row["best"] == str(own["best"])
    assert rows[1]["learning_rates"] == "block1=0.001 block2=0.02 decoder=0.02"


def test_history_when_training_ends_then_every_epoch_has_a_row(reported: TinyTraining) -> None:
    epochs = history_of(reported)
    assert [(e["epoch"], e["stage"], e["stage_epoch"]) for e in epochs] == [
        ("1", "1", "1"),
        ("2", "1", "2"),
        ("3", "2", "1"),
        ("4", "2", "2"),
        ("5", "2", "3"),
        ("6", "2", "4"),
    ]
    losses = [float(epoch["train_loss"]) for epoch in epochs]
    assert losses[-1] < losses[0]


def test_history_when_an_epoch_has_no_validation_then_its_cells_are_empty(tmp_path: Path) -> None:
    made = training(tmp_path, val_interval=2)
    report = StageReport(tmp_path, metrics=METRICS, curves=False)
    made.trainer([made.validation, made.stages, report]).run()
    dice = [epoch["val_dice"] != "" for epoch in history_of(made)]
    assert dice == [False, True, False, True, False, True]


def test_curves_when_training_ends_then_the_picture_shows_them(reported: TinyTraining) -> None:
    with Image.open(reported.output_dir / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[0] > 600
    assert pixels.shape[1] > 900
    halves = np.array_split(pixels, 2)
    blue = [(half[..., 2] - half[..., 0] > 80).mean() for half in halves]
    orange = [(half[..., 0] - half[..., 2] > 120).mean() for half in halves]
    assert blue[0] > 10 * blue[1] > 0 or blue[1] == 0 < blue[0]
    assert orange[1] > 10 * orange[0] > 0 or orange[0] == 0 < orange[1]


def test_files_when_training_goes_on_then_they_are_there_after_each_epoch(tmp_path: Path) -> None:
    made = training(tmp_path)
    report = StageReport(tmp_path, metrics=METRICS, curves=False)
    trainer = made.trainer([made.validation, made.stages, report])
    seen: list[tuple[int, int]] = []

    @trainer.on(Events.EPOCH_STARTED)
    def _look() -> None:
        if trainer.state.epoch > 1:
            seen.append((len(history_of(made)), len(stages_of(made))))

    trainer.run()
    assert seen == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]


def test_curves_when_not_wanted_then_they_are_not_drawn(tmp_path: Path) -> None:
    made = training(tmp_path)
    report = StageReport(tmp_path, metrics=METRICS, curves=False)
    made.trainer([made.validation, made.stages, report]).run()
    assert not (tmp_path / "curves.png").exists()
    assert (tmp_path / "stages.json").exists()


def test_curves_when_epochs_are_short_then_they_are_drawn_once_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def count(stages: Any, path: Path, **more: Any) -> None:
        drawn.append(len(stages.record.history))

    monkeypatch.setattr(stage_report, "draw_curves", count)
    made = training(tmp_path)
    made.trainer([made.validation, made.stages, StageReport(tmp_path, metrics=METRICS)]).run()
    assert drawn == [1, 2, 6]


def test_metrics_when_the_evaluator_gives_no_such_then_the_first_epoch_says_so(
    tmp_path: Path,
) -> None:
    made = training(tmp_path)
    report = StageReport(tmp_path, metrics=["val_sensitivity"])
    with pytest.raises(
        ValueError, match="metrics: the evaluator has no val_sensitivity, only val_dice, val_"
    ):
        made.trainer([made.validation, made.stages, report]).run()
    assert len(made.stages.record.history) == 1


def test_metrics_when_none_are_named_then_all_of_the_evaluator_by_their_own_names(
    tmp_path: Path,
) -> None:
    made = training(tmp_path)
    made.trainer([made.validation, made.stages, StageReport(tmp_path, curves=False)]).run()
    rows = made.stages.record.scores
    for row, score in zip(stages_of(made), rows, strict=True):
        assert {name: row[name] for name in score.metrics} == {
            name: round(value, 6) for name, value in score.metrics.items()
        }


def test_report_when_the_trainer_has_no_stages_then_it_is_refused_at_the_start(
    tmp_path: Path,
) -> None:
    made = training(tmp_path)
    with pytest.raises(ValueError, match="StageReport reports on a StagedFineTuning, and the tra"):
        made.trainer([made.validation, StageReport(tmp_path)]).run()


def test_log_when_a_stage_has_run_an_epoch_then_it_gives_the_time_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = training(tmp_path)
    report = StageReport(tmp_path, metrics=METRICS, curves=False)
    with caplog.at_level(logging.INFO):
        made.trainer([made.validation, made.stages, report]).run()
    lines = [line for line in caplog.messages if " left for at most " in line]
    assert [line.split(" left for at most ")[1] for line in lines] == ["5 epochs", "3 epochs"]


def test_time_left_when_many_epochs_remain_then_it_is_in_hours(reported: TinyTraining) -> None:
    made = training(reported.output_dir)
    made.stages.record.history = [Epoch(n, 0, n, 0.5, 4000.0, {}) for n in (1, 2)]
    assert time_left(made.stages) == (
        "stage 1 of 2: 4000.0 s per epoch, about 4.4 hours left for at most 4 epochs"
    )


def test_report_then_draws_the_metrics_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(stage_report, "draw_curves", lambda *_, **more: seen.append(more["drawn"]))
    made = training(tmp_path)
    report = StageReport(tmp_path, metrics=METRICS, drawn=["val_loss"])
    made.trainer([made.validation, made.stages, report]).run()
    assert set(seen) == {("val_loss",)}


def test_tables_then_the_rates_that_were_used_and_those_of_layers(tmp_path: Path) -> None:
    rates = {"conv1": 0.001, "block2": 0.002}
    plan = strategy(
        {**stage(["all"], epochs=1, learning_rates=rates), "name": "layers"},
        {**stage(["decoder"], epochs=2, schedule={"power": 1}), "name": "falling"},
    )
    made = TinyTraining(tmp_path, strategy=plan)
    made.trainer([made.validation, made.stages, StageReport(tmp_path, curves=False)]).run()
    layers, falling = stages_of(made)
    assert layers["learning_rates"] == {"conv1": 0.001, "conv2": 0.002, "decoder": 0.02}
    used = [float(row["learning_rate"]) for row in history_of(made)]
    expected = [0.02 * (1 - update / 6) for update in (2, 5)]  # of 3 updates in an epoch
    assert used == pytest.approx([0.02, *expected])
    best = falling["best_epoch"] - 1
    assert falling["learning_rates"] == {"decoder": pytest.approx(used[best], rel=1e-5)}
    assert "decision" not in falling


def test_table_of_a_run_that_decides_its_depth_then_the_decision(tmp_path: Path) -> None:
    stages = [stage(["decoder"], epochs=1), stage(["decoder", "block2"], epochs=1), stage(["all"])]
    made = TinyTraining(tmp_path, strategy={**strategy(*stages), "stop_margin": 1.0})
    made.trainer([made.validation, made.stages, StageReport(tmp_path, curves=False)]).run()
    summary = json.loads((tmp_path / "stages.json").read_text())
    first, second = summary["stages"]
    assert summary["stop_margin"] == 1.0
    assert first["decision"] == ""
    assert second["decision"].startswith("stops: ")
    assert second["decision"].endswith(", margin 1")
    with (tmp_path / "stages.csv").open(newline="") as stream:
        assert [row["decision"] for row in csv.DictReader(stream)] == ["", second["decision"]]
