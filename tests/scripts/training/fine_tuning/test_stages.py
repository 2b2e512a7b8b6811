"""Staged fine-tuning, by what happens to weights and statistics in real training iterations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from custom_nets.freezing import Freezable
from custom_nets.unet import TransferUNet
from scripts.training.engine_events import StageEvents
from scripts.training.fine_tuning.stage_record import copy_of
from tests.scripts.training.tiny_training import (
    PARTS,
    TinyTraining,
    copies_at,
    equal,
    moved,
    stage,
    strategy,
)

STRATEGIES = Path(__file__).resolve().parents[4] / "configs" / "strategies"


@pytest.mark.parametrize(
    "trainable",
    [
        pytest.param(["decoder"], id="decoder only"),
        pytest.param(["decoder", "block2"], id="decoder and the last block"),
        pytest.param(["decoder", "block1"], id="a frozen block behind a released one"),
        pytest.param(["decoder", "conv2"], id="decoder and a layer"),
        pytest.param(["all"], id="everything"),
    ],
)
def test_training_when_parts_are_frozen_then_they_are_bit_equal_and_the_others_move(
    tmp_path: Path, trainable: list[str]
) -> None:
    training = TinyTraining(tmp_path, strategy=strategy(stage(trainable, epochs=2)))
    before = copy_of(training.network)
    training.trainer().run()
    released = {"all": PARTS.keys(), "conv2": {"block2"}}
    expected = set().union(*(released.get(name, {name}) for name in trainable))
    after = copy_of(training.network)
    assert moved(before, after) == {part: part in expected for part in PARTS}


def test_stages_when_one_follows_another_then_each_freezes_its_own(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    trainer = training.trainer()
    starts = copies_at(trainer, StageEvents.STAGE_STARTED, training.network)
    ends = copies_at(trainer, Events.EPOCH_COMPLETED, training.network)
    trainer.run()
    assert moved(starts[0], ends[1]) == {"block1": False, "block2": True, "decoder": True}
    assert moved(starts[1], ends[3]) == {"block1": True, "block2": True, "decoder": True}


def by_block(network: Freezable) -> dict[str, dict[str, torch.Tensor]]:
    """Weights and statistics of each block; a statistic belongs where its norm's weight does."""
    blocks = {id(p): g["name"] for g in network.parameter_groups() for p in g["params"]}
    modules = {
        name.rpartition(".")[0]: blocks[id(parameter)]
        for name, parameter in network.named_parameters()
    }
    found: dict[str, dict[str, torch.Tensor]] = {block: {} for block in network.block_names}
    for key, tensor in copy_of(network).items():
        found[modules[key.rpartition(".")[0]]][key] = tensor
    return found


def test_bsft_when_a_real_network_trains_then_every_stage_moves_exactly_what_it_releases(
    tmp_path: Path,
) -> None:
    def network() -> Freezable:
        return TransferUNet("densenet121", in_channels=1, decoder_channels=(16, 8, 8, 8, 8))

    shipped = json.loads((STRATEGIES / "bsft.json").read_text())["strategy"]
    for each in shipped["stages"]:
        each["epochs"] = 1
    training = TinyTraining(tmp_path, strategy=shipped, network=network, count=2)
    trainer = training.trainer()
    starts = copies_at(trainer, StageEvents.STAGE_STARTED, training.network, by_block)
    ends = copies_at(trainer, StageEvents.STAGE_COMPLETED, training.network, by_block)
    trainer.run()
    for each, start, end in zip(shipped["stages"], starts, ends, strict=True):
        still = {block for block in start if equal(start[block], end[block])}
        assert still == set(start) - set(each["trainable"])


def test_stage_without_epochs_of_its_own_then_those_of_the_run(tmp_path: Path) -> None:
    parts = strategy(stage(["decoder"]), stage(["all"], epochs=3))
    training = TinyTraining(tmp_path, strategy=parts)
    assert [each.epochs for each in training.stages.strategy.stages] == [2, 3]


def test_stage_when_it_begins_then_its_rates_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rates = {"block2": 0.005, "block1": 0.001}
    parts = strategy(stage(["decoder", "block2", "block1"], epochs=1, learning_rates=rates))
    TinyTraining(tmp_path, strategy=parts).trainer().run()
    assert "train; learning rate 0.02, block2 0.005, block1 0.001\n" in caplog.text


def test_validation_when_the_network_gives_no_numbers_then_refused_with_stage_and_epoch(
    tmp_path: Path,
) -> None:
    training = TinyTraining(tmp_path)
    training.trainer()
    torch.nn.init.constant_(next(training.network.parameters()), torch.nan)
    with pytest.raises(ValueError, match="in the validation of stage 1 of 2, .*, epoch 0"):
        training.evaluator.run()
