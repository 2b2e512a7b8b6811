"""Averages of weights, their statistics, and their place among the candidates of a stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.transforms import Compose

from scripts.training.fine_tuning.stage_options import Stage
from scripts.training.fine_tuning.stage_record import copy_of
from scripts.training.fine_tuning.strategies import read_strategy
from scripts.training.fine_tuning.weight_average import WeightAverage, renew_statistics
from tests.scripts.training.fine_tuning.test_stage_ends import scripted
from tests.scripts.training.tiny_training import TinyNet, TinyTraining, stage, strategy


def averaged(start: float = 0.5, epochs: int = 4, trainable: tuple[str, ...] = ("all",)) -> Stage:
    plan = strategy(stage(list(trainable), average={"start": start}))
    return read_strategy(plan, epochs=epochs, learning_rate=0.1).stages[0]


def test_average_then_the_mean_of_the_last_epochs_of_what_trains() -> None:
    network = TinyNet()
    network.set_trainable(["decoder"])
    frozen = copy_of(network)
    average = WeightAverage(network)
    average.begin(averaged())
    seen = []
    for done in (1, 2, 3, 4):
        with torch.no_grad():
            network.head.weight.copy_(torch.randn_like(network.head.weight))
        seen.append(network.head.weight.detach().clone())
        average.epoch_ended(done)
    average.load()
    assert average.count == 2
    torch.testing.assert_close(network.head.weight.detach(), (seen[2] + seen[3]) / 2)
    assert torch.equal(network.conv1.weight, frozen["conv1.weight"])
    average.begin(averaged())
    assert (average.count, average.state_dict()["weights"]) == (0, {})


def test_statistics_when_renewed_then_those_of_all_batches_and_frozen_ones_stay(
    tmp_path: Path,
) -> None:
    made = TinyTraining(tmp_path)
    made.loader.dataset.transform = Compose([])
    trainer = made.trainer()
    trainer.state.dataloader = made.loader
    made.network.set_trainable(["decoder", "block2"])
    made.network.dropout.p = 0.0
    before = copy_of(made.network)
    renew_statistics(trainer, made.network)
    images = torch.stack([sample["image"] for sample in made.loader.dataset])
    with torch.no_grad():
        made.network.norm1.eval()
        maps = made.network.conv2(torch.relu(made.network.norm1(made.network.conv1(images))))
    after = copy_of(made.network)
    torch.testing.assert_close(after["norm2.running_mean"], maps.mean((0, 2, 3)))
    assert torch.equal(after["norm1.running_mean"], before["norm1.running_mean"])
    assert torch.equal(after["conv2.weight"], before["conv2.weight"])
    assert made.network.norm2.momentum == 0.1


def run(folder: Path, values: list[float], **options: Any) -> TinyTraining:
    plan = strategy(stage(["decoder", "block2"], epochs=3, average={"start": 0.3}, **options))
    made = scripted(folder, values, strategy=plan)
    made.ends = []  # type: ignore[attr-defined]
    trainer = made.trainer()
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda: made.ends.append(copy_of(made.network)),  # type: ignore[attr-defined]
    )
    trainer.run()
    return made


def test_average_when_it_is_validated_best_then_the_result_with_its_number_of_epochs(
    tmp_path: Path,
) -> None:
    made = run(tmp_path, [0.1, 0.3, 0.2, 0.4])
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert (saved["value"], saved["epoch"], saved["averaged"]) == (0.4, 3, 3)
    assert made.stages.record.scores[0].averaged == 3
    ends = made.ends  # type: ignore[attr-defined]
    mean = sum(end["head.weight"] for end in ends) / 3
    torch.testing.assert_close(saved["model"]["head.weight"], mean)
    for key in ("conv1.weight", "norm1.running_mean"):
        assert torch.equal(saved["model"][key], ends[0][key])
    assert not torch.equal(saved["model"]["norm2.running_mean"], ends[2]["norm2.running_mean"])
    assert [epoch.metrics["val_dice"] for epoch in made.stages.record.history] == [0.1, 0.3, 0.2]


def test_average_when_an_epoch_was_better_then_that_one_and_the_average_leaves_no_trace(
    tmp_path: Path,
) -> None:
    made = run(tmp_path, [0.1, 0.5, 0.2, 0.4])
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert (saved["value"], saved["epoch"]) == (0.5, 2)
    assert "averaged" not in saved
    ends = made.ends  # type: ignore[attr-defined]
    assert all(torch.equal(saved["model"][key], ends[1][key]) for key in ends[1])


def test_average_when_it_starts_at_the_last_epoch_then_not_validated_again_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plan = strategy(stage(["all"], epochs=3, average={"start": 0.7}))
    made = scripted(tmp_path, [0.1, 0.3, 0.2], strategy=plan)  # a fourth value would be missing
    made.trainer().run()
    assert made.stages.record.scores[0].averaged == 0
    assert "no average, as only 1 of its epochs" in caplog.text
