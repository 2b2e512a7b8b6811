"""TensorBoard's curves of a training, which a resumed run continues."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.handlers import from_engine
from monai.utils.enums import CommonKeys
from torch.utils.tensorboard import SummaryWriter

from scripts.training.engine_events import kept

ITERATIONS = "iterations"
LOSS = "train_loss"
STAGE = "stage"
RATE = "learning_rate"


class TrainingCurves:
    """Ignite handler that writes loss, metrics, learning rate and stage for TensorBoard.

    The loss of every iteration is in the run ``iterations``, with the number of the iteration as
    step; all else has the number of the epoch. A run that continues after an interruption, or that
    replaces an earlier one, hides the points from its first epoch on, so that no curve is doubled.
    The stage is also a metric of the trainer, which MLflow then has too.

    Args:
        log_dir: folder of the curves.
        evaluator: engine of the validation.
    """

    def __init__(self, log_dir: str | Path, evaluator: Engine) -> None:
        self.folder = Path(log_dir)
        self.evaluator = evaluator
        self._epochs: Any = None
        self._iterations: Any = None

    def attach(self, engine: Engine) -> None:
        """Write the curves of a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self._close)
        self.evaluator.add_event_handler(Events.COMPLETED, self._validated, engine)

    def _begin(self, trainer: Engine) -> None:
        """Open the files at the first epoch of this run, when its number is known.

        The stage is withdrawn from the metrics, so that log lines do not repeat it.
        """
        trainer.state.metrics.pop(STAGE, None)
        if self._epochs is None:
            state = trainer.state
            self._epochs = SummaryWriter(str(self.folder), purge_step=state.epoch)
            folder, step = self.folder / ITERATIONS, state.iteration + 1
            self._iterations = SummaryWriter(str(folder), purge_step=step)

    def _iteration_completed(self, trainer: Engine) -> None:
        loss = from_engine([CommonKeys.LOSS], first=True)(trainer.state.output)
        self._iterations.add_scalar(LOSS, float(loss), trainer.state.iteration)

    def _epoch_completed(self, trainer: Engine) -> None:
        """Write the epoch before its stage may end."""
        stages: Any = kept(trainer).objects.get("stages")
        if stages is not None:
            trainer.state.metrics[STAGE] = float(stages.record.stage + 1)
        groups = trainer.optimizer.param_groups
        self._write({**rates_of(groups), **trainer.state.metrics}, trainer.state.epoch)
        self._iterations.flush()

    def _validated(self, trainer: Engine) -> None:
        if self._epochs is not None:
            self._write(self.evaluator.state.metrics, trainer.state.epoch)

    def _write(self, values: Mapping[str, Any], epoch: int) -> None:
        for name, value in values.items():
            if isinstance(value, (int, float)) or getattr(value, "size", None) == 1:
                self._epochs.add_scalar(name, float(value), epoch)
        self._epochs.flush()

    def _close(self, trainer: Engine) -> None:
        for writer in (self._epochs, self._iterations):
            if writer is not None:
                writer.close()


def rates_of(groups: list[dict[str, Any]]) -> dict[str, float]:
    """Return the learning rates of the groups that train: one, or one for each if they differ.

    Example:
        >>> class Weight:
        ...     requires_grad = True
        >>> rates_of([{"lr": 0.1, "name": "a", "params": [Weight]}, {"lr": 9, "params": []}])
        {'learning_rate': 0.1}
    """
    training = [group for group in groups if any(one.requires_grad for one in group["params"])]
    rates = {float(group["lr"]) for group in training}
    if len(rates) == 1:
        return {RATE: rates.pop()}
    named = enumerate(training)
    return {f"{RATE}/{group.get('name', number)}": float(group["lr"]) for number, group in named}
