"""Staged fine-tuning of a network inside DistributedDataParallel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pytest
import torch
import torch.distributed as dist
from ignite.engine import Events
from torch.nn.parallel import DistributedDataParallel

from scripts.training.determinism import EpochSeed
from scripts.training.engine_events import StageEvents
from scripts.training.fine_tuning.stages import StagedFineTuning
from scripts.training.fine_tuning.weight_average import renew_statistics
from tests.scripts.training.tiny_training import (
    TWO_STAGES,
    TinyTraining,
    copies_at,
    moved,
    stage,
    strategy,
)


@pytest.fixture
def process_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distributed run of one process."""
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1")):
        monkeypatch.setenv(name, value)
    where = f"file://{tmp_path / 'rendezvous'}"
    idist.initialize("gloo", init_method=where, rank=0, world_size=1)
    yield
    idist.finalize()


def distributed(folder: Path, *, unused: bool, plan: dict[str, Any] | None = None) -> TinyTraining:
    training = TinyTraining(folder, strategy=plan or TWO_STAGES)
    wrapped = DistributedDataParallel(training.network, find_unused_parameters=unused)
    training.evaluator.network = wrapped
    training.stages = StagedFineTuning(
        wrapped,
        training.optimizer,
        training.evaluator,
        plan or TWO_STAGES,
        epochs=2,
        learning_rate=0.02,
        output_dir=folder,
    )
    training.network = wrapped  # type: ignore[assignment]
    return training


@pytest.mark.usefixtures("process_group")
def test_network_when_wrapped_for_distributed_training_then_its_stages_run(tmp_path: Path) -> None:
    training = distributed(tmp_path, unused=True)
    trainer = training.trainer()
    inner = training.network.module
    starts = copies_at(trainer, StageEvents.STAGE_STARTED, inner)
    ends = copies_at(trainer, Events.ITERATION_COMPLETED, inner)
    trainer.run()
    assert moved(starts[0], ends[5]) == {"block1": False, "block2": True, "decoder": True}
    assert moved(starts[1], ends[-1]) == {"block1": True, "block2": True, "decoder": True}
    saved = torch.load(tmp_path / "model.pt", weights_only=True)["model"]
    assert saved.keys() == inner.state_dict().keys()


@pytest.mark.usefixtures("process_group")
def test_network_when_wrapped_without_unused_parameters_then_it_is_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="wrap it with find_unused_parameters=True"):
        distributed(tmp_path, unused=False).trainer().run()


MECHANISMS = strategy(
    stage(["decoder"], epochs=1, low_rank={"rank": 1}),
    stage(["decoder", "block2"], epochs=2, average={"start": 0.0}),
    stage(["all"], epochs=2, penalty={"pull": 1.0}, schedule={"warm_up": 0.5}),
    {**stage(["all"], epochs=2, auto_rates=True), "name": "rates by gradients"},
)


@pytest.mark.usefixtures("process_group")
def test_mechanisms_when_distributed_then_the_weights_of_one_process(tmp_path: Path) -> None:
    one = TinyTraining(tmp_path / "one", strategy=MECHANISMS)
    one.trainer([EpochSeed(1, evaluator=one.evaluator), one.validation, one.stages]).run()
    several = distributed(tmp_path / "several", unused=True, plan=MECHANISMS)
    seed = EpochSeed(1, evaluator=several.evaluator)
    several.trainer([seed, several.validation, several.stages]).run()
    paths = [tmp_path / name / "model.pt" for name in ("one", "several")]
    first, second = (torch.load(path, weights_only=True)["model"] for path in paths)
    for key, tensor in first.items():
        torch.testing.assert_close(tensor, second[key])
    assert one.stages.record.scores == several.stages.record.scores


@pytest.mark.usefixtures("process_group")
def test_statistics_of_an_average_then_all_processes_get_those_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = distributed(tmp_path, unused=True)
    inner = training.network.module
    inner.set_trainable(["block2"])
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(dist, "broadcast", lambda tensor, source: sent.append((id(tensor), source)))
    renew_statistics(training.trainer(), inner)
    assert sent == [(id(buffer), 0) for buffer in inner.norm2.buffers()]
