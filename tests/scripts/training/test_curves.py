import numpy as np
import torch
from ignite.engine import Engine, Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scripts.training.curves import TrainingCurves, rates_of
from scripts.training.engine_events import keep_state


class Stages:
    """Stands for staged fine-tuning: two epochs in each stage."""

    class record:  # noqa: N801
        stage = 0

    def state_dict(self):
        return {}

    def load_state_dict(self, state_dict):
        pass


def train(folder, *, until, done=0, loss=1.0):
    """Train from an epoch on, with three iterations and a validation each."""
    trainer = Engine(lambda engine, batch: [{"loss": torch.tensor(loss)}])
    validator = Engine(lambda engine, batch: None)
    weight = torch.nn.Parameter(torch.zeros(1))
    trainer.optimizer = torch.optim.SGD([weight], lr=0.5)
    stages = Stages()
    keep_state(trainer, "stages", stages)
    TrainingCurves(folder, validator).attach(trainer)

    @trainer.on(Events.EPOCH_STARTED)
    def _(engine):
        stages.record.stage = (engine.state.epoch - 1) // 2

    @trainer.on(Events.EPOCH_COMPLETED)
    def _(engine):
        validator.state.metrics["val_dice"] = np.float64(engine.state.epoch + loss)
        validator.run([0])

    trainer.load_state_dict({"epoch_length": 3, "max_epochs": until, "iteration": 3 * done})
    trainer.run([0, 1, 2], max_epochs=until)


def curve(folder, tag):
    events = EventAccumulator(str(folder), purge_orphaned_data=True).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_training_then_rate_stage_and_metrics_by_epoch_and_loss_by_iteration(tmp_path):
    train(tmp_path, until=3)
    assert curve(tmp_path, "learning_rate") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert curve(tmp_path, "stage") == [(1, 1.0), (2, 1.0), (3, 2.0)]
    assert curve(tmp_path, "val_dice") == [(1, 2.0), (2, 3.0), (3, 4.0)]
    assert curve(tmp_path / "iterations", "train_loss") == [(n, 1.0) for n in range(1, 10)]


def test_resumed_training_then_each_epoch_once_with_its_later_value(tmp_path):
    train(tmp_path, until=3)
    train(tmp_path, until=4, done=2, loss=9.0)  # the third epoch was not in the checkpoint
    assert curve(tmp_path, "val_dice") == [(1, 2.0), (2, 3.0), (3, 12.0), (4, 13.0)]
    losses = curve(tmp_path / "iterations", "train_loss")
    assert losses == [(n, 1.0 if n <= 6 else 9.0) for n in range(1, 13)]


def test_rates_that_differ_then_one_for_each_group_that_trains():
    free, frozen = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1), False)
    groups = [
        {"name": "block1", "lr": 0.1, "params": [frozen]},
        {"name": "block2", "lr": 0.2, "params": [free]},
        {"name": "decoder", "lr": 0.4, "params": [free, frozen]},
    ]
    assert rates_of(groups) == {"learning_rate/block2": 0.2, "learning_rate/decoder": 0.4}
