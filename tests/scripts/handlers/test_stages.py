"""Staged fine-tuning, by what happens to weights and statistics in real training iterations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events

from scripts.handlers.engine_events import StageEvents
from scripts.handlers.stage_record import copy_of
from tests.scripts.handlers.tiny_training import TinyTraining

PARTS = {"block1": ("conv1", "norm1"), "block2": ("conv2", "norm2"), "decoder": ("head",)}


def stage(trainable: list[str], **settings: Any) -> dict[str, Any]:
    return {"name": "+".join(trainable), "trainable": trainable, **settings}


def strategy(*stages: dict[str, Any]) -> dict[str, Any]:
    return {"name": "test", "stages": list(stages)}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, bool]:
    """Whether weights or statistics changed, by part."""
    return {
        part: any(
            not torch.equal(before[key], after[key])
            for key in before
            if key.startswith(tuple(prefixes))
        )
        for part, prefixes in PARTS.items()
    }


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
    starts: list[dict[str, torch.Tensor]] = []
    ends: list[dict[str, torch.Tensor]] = []
    trainer = training.trainer()
    trainer.add_event_handler(
        StageEvents.STAGE_STARTED, lambda: starts.append(copy_of(training.network))
    )
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: ends.append(copy_of(training.network))
    )
    trainer.run()
    assert moved(starts[0], ends[1]) == {"block1": False, "block2": True, "decoder": True}
    assert moved(starts[1], ends[3]) == {"block1": True, "block2": True, "decoder": True}
