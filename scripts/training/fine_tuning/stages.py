"""Staged fine-tuning: one training run whose stages train different parts of a network."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import Tensor, nn
from torch.optim import Optimizer

from scripts.bundle.model_file import content_of, settings_of
from scripts.training.engine_events import (
    CheckpointEvents,
    StageEvents,
    check_logits,
    finite_loss,
    is_main_process,
    keep_state,
    kept,
    mean_of_all_processes,
    register,
)
from scripts.training.fine_tuning.stage_checks import (
    check_engines,
    check_last_batch,
    check_optimizer,
    check_penalty,
    check_same_objects,
    check_stages,
    unwrapped,
)
from scripts.training.fine_tuning.stage_log import ended, released, result
from scripts.training.fine_tuning.stage_mechanisms import StageMechanisms
from scripts.training.fine_tuning.stage_options import Stage
from scripts.training.fine_tuning.stage_record import (
    Best,
    Epoch,
    StageRecord,
    copy_of,
    scalars,
)
from scripts.training.fine_tuning.strategies import read_strategy
from scripts.training.fine_tuning.weight_average import renew_statistics
from scripts.training.resumed_settings import VAL_INTERVAL
from scripts.training.tensor_files import MODEL_FILE, write_tensors

logger = logging.getLogger(__name__)


class StagedFineTuning:
    """Ignite handler that runs the stages of a strategy within one ``SupervisedTrainer`` run.

    A stage starts from the best weights of the previous one, with its parts released, the rest
    frozen, and an empty optimiser state. It ends after its epochs or by its patience, with the best
    weights by the evaluator's key metric; if the stage averages weights, the average is one more
    candidate. The best stage (the earliest of equal ones) is the
    result: at the end it is in the network and in ``output_dir/model.pt`` with the settings of the
    training (:mod:`scripts.bundle.model_file`), strategy, stage, epoch, and value of the key
    metric.

    All names and numbers of all stages are checked before the first iteration. The evaluator is run
    by MONAI's ``ValidationHandler``. The order of the trainer's handlers does not matter: an epoch
    is evaluated after all other handlers of its end.

    Args:
        network: a ``custom_nets.freezing.Freezable``, or one inside DistributedDataParallel.
        optimizer: with one group for each of ``network.parameter_groups()``, see
            :func:`scripts.training.fine_tuning.strategies.parameter_groups`.
        evaluator: MONAI evaluator of the same network; its key metric and ``metric_cmp_fn`` select
            weights.
        strategy: see :mod:`scripts.training.fine_tuning.strategies`.
        epochs: default for stages; None divides the trainer's epochs equally among them.
        learning_rate: default for stages.
        final_rate: default for stages.
        output_dir: folder of ``model.pt``.
        val_interval: epochs between validations, as in ``ValidationHandler``.
        settings: the config's ``model_settings``, which must be equal in evaluation and prediction.
        data: what the network is trained on, see
            :func:`scripts.datasets.training_data.training_data`.

    Raises:
        ValueError: for a setting that would fail in any of the stages.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        evaluator: Engine,
        strategy: Mapping[str, Any],
        *,
        epochs: int | None,
        learning_rate: float,
        final_rate: float = 1.0,
        output_dir: str | Path,
        val_interval: int = 1,
        settings: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.network: Any = unwrapped(network)
        self.optimizer = optimizer
        self.evaluator = evaluator
        self._read = partial(
            read_strategy, strategy, learning_rate=learning_rate, final_rate=final_rate
        )
        self.epochs = epochs
        self.strategy = self._read(epochs=val_interval if epochs is None else epochs)
        self.model_path = Path(output_dir) / MODEL_FILE
        self.val_interval = val_interval
        self.settings = dict(settings or {})
        self.data = dict(data or {})
        self.record = StageRecord()
        check_optimizer(self.network, optimizer)
        check_penalty(optimizer, self.strategy)
        self.trainable = check_stages(self.network, self.strategy, val_interval)
        self.total_parameters = sum(tensor.numel() for tensor in self.network.parameters())
        self.metric: str = getattr(evaluator.state, "key_metric_name", None) or ""
        self.mechanisms = StageMechanisms(self.network, optimizer, self.strategy)
        self._in_epoch = False
        self._averaged = 0
        self._losses: list[float] = []
        self._metrics: dict[str, float] = {}
        self._epoch_start = 0.0

    @property
    def finished(self) -> bool:
        """Whether every stage has ended."""
        return self.record.stage >= len(self.strategy.stages)

    @property
    def stage(self) -> Stage:
        """The stage that runs, or that is next."""
        return self.strategy.stages[self.record.stage]

    def attach(self, engine: Engine) -> None:
        """Run the stages on a trainer.

        Raises:
            ValueError: when the trainer has fewer epochs than the stages, or the evaluator has no
                key metric.
        """
        if self.epochs is None:
            each = engine.state.max_epochs // len(self.strategy.stages)
            self.strategy = self._read(epochs=each)
            check_stages(self.network, self.strategy, self.val_interval)
        check_engines(engine, self.evaluator, self.strategy)
        self.mechanisms.prepare_groups()
        register(engine, StageEvents)
        register(engine, CheckpointEvents)
        groups = self.mechanisms.own_groups
        compared = {
            "strategy": self.strategy.plain(),
            VAL_INTERVAL: self.val_interval,  # only validated epochs can be the result
            **settings_of(self.network, self.settings),
            **({"optimizer groups": groups} if groups else {}),
        }
        keep_state(engine, "stages", self, settings=compared)
        engine.add_event_handler(CheckpointEvents.RESUMED, self._resumed)
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch_started)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._loss_completed)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        self.evaluator.add_event_handler(Events.COMPLETED, self._validated, engine)
        check_logits(
            self.evaluator, lambda: f"the validation of {self._title()}, epoch {engine.state.epoch}"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the record, and the evaluator's best metric, which its log lines show."""
        state = self.evaluator.state
        best = {"best_metric": float(state.best_metric), "epoch": int(state.best_metric_epoch)}
        mechanisms = self.mechanisms.state_dict()
        return {**self.record.state_dict(), "evaluator": best, "mechanisms": mechanisms}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a saved run, within a stage or before the next one."""
        self.record.load_state_dict(state_dict)
        self.evaluator.state.best_metric = state_dict["evaluator"]["best_metric"]
        self.evaluator.state.best_metric_epoch = state_dict["evaluator"]["epoch"]
        self.mechanisms.load_state_dict(state_dict.get("mechanisms", {}))
        if self.record.begun:
            self.network.set_trainable(self.stage.trainable)

    def _resumed(self, trainer: Engine) -> None:
        if self.finished:
            logger.info("%s: all stages are already finished", self.strategy.name)
            trainer.terminate()
        elif self.record.begun:
            logger.info(
                "resuming %s: %d of at most %d epochs are done",
                *(self._title(), self.record.stage_epoch, self.stage.epochs),
            )

    def _started(self, trainer: Engine) -> None:
        """Do the last checks, and add the handler of an epoch's end after all others."""
        check_same_objects(trainer, self.evaluator, self.network, self.optimizer)
        check_last_batch(trainer, self.network, self.strategy)
        self.mechanisms.hook(lambda: self._update(trainer))
        if not trainer.has_event_handler(self._epoch_completed, Events.EPOCH_COMPLETED):
            trainer.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _epoch_started(self, trainer: Engine) -> None:
        if not self.record.begun:
            self._begin_stage(trainer)
        self.mechanisms.restore(self.stage)
        self.mechanisms.set_rates(*self._update(trainer))
        self._losses, self._metrics = [], {}
        self._epoch_start = time.perf_counter()
        self._in_epoch = True

    def _update(self, trainer: Engine) -> tuple[Stage, int, int, int]:
        """Return the stage, its complete epochs, the number of its update, and of all of them."""
        length, done = trainer.state.epoch_length or 1, self.record.stage_epoch
        within = max(0, trainer.state.iteration - 1) % length if self._in_epoch else 0
        return self.stage, done, done * length + within, self.stage.epochs * length

    def _begin_stage(self, trainer: Engine) -> None:
        """Release the stage's parts and clear the optimiser's state."""
        stage = self.stage
        self.network.set_trainable(stage.trainable)
        self.optimizer.state.clear()
        self.mechanisms.begin(stage)
        self.record.begun = True
        trained = sum(self.trainable[self.record.stage].values())
        logger.info("%s: %s", self._title(), released(stage, trained, self.total_parameters))
        trainer.fire_event(StageEvents.STAGE_STARTED)

    def _loss_completed(self, trainer: Engine) -> None:
        """Stop before a loss that is not finite changes the weights."""
        self._losses.append(finite_loss(trainer, self._title()))

    def _validated(self, trainer: Engine) -> None:
        """Compare a validation's key metric with the stage's best; keep better weights."""
        if not self._in_epoch:
            return  # a validation outside the stages, such as of the untrained network
        self._metrics = scalars(self.evaluator.state.metrics)
        value = self._metrics.get(self.metric, math.nan)
        if not math.isfinite(value):
            raise ValueError(
                f"{self.metric}: must be one finite number after a validation, got "
                f"{self.evaluator.state.metrics.get(self.metric)} in {self._title()}, epoch "
                f"{trainer.state.epoch}; check the metric and the validation data"
            )
        record = self.record
        if record.current is None or self.better(value, record.current.metric):
            weights = copy_of(self.network)
            best = Best(record.stage, trainer.state.epoch, value, weights, self._averaged)
            record.improve(best, self._metrics)
        else:
            record.stale += 1

    def better(self, value: float, other: float) -> bool:
        """Whether a key metric is better than another, by the evaluator's comparison."""
        return bool(self.evaluator.metric_cmp_fn(value, other))

    def _epoch_completed(self, trainer: Engine) -> None:
        self._in_epoch = False
        record, epoch = self.record, trainer.state.epoch
        if epoch % self.val_interval == 0 and not self._metrics:
            raise ValueError(
                f"val_interval: {self.val_interval}, but no validation ran in epoch {epoch}, "
                f"{self._title()}; add a ValidationHandler with this interval and this evaluator "
                "to the trainer's handlers"
            )
        record.stage_epoch += 1
        loss = mean_of_all_processes(self._losses)
        seconds = time.perf_counter() - self._epoch_start
        rates = self.mechanisms.rates(self.stage)
        record.history.append(
            Epoch(epoch, record.stage, record.stage_epoch, loss, seconds, self._metrics, rates)
        )
        self.mechanisms.epoch_ended(record.stage_epoch)
        patience = self.stage.patience
        out_of_patience = patience is not None and record.stale >= patience
        if out_of_patience or record.stage_epoch >= self.stage.epochs:
            self._end_stage(trainer, "patience" if out_of_patience else "epochs")
        trainer.fire_event(StageEvents.EPOCH_RECORDED)
        if self.finished and epoch < trainer.state.max_epochs:
            trainer.terminate()

    def _end_stage(self, trainer: Engine, reason: str) -> None:
        """Load the stage's best weights; they are the result so far if no stage was better."""
        self._validate_average(trainer)
        record, best = self.record, self.record.current
        if best is None:
            raise ValueError(f"{self._title()}: ends without a validation; check val_interval")
        self.network.load_state_dict(best.weights)
        goes_on = self._goes_on(best)
        if record.result is None or self.better(best.metric, record.result.metric):
            record.result = best
        line = ended(reason, record.stage_epoch, self.metric, best)
        logger.info("%s: %s", self._title(), line)
        record.advance()
        trainer.fire_event(StageEvents.STAGE_COMPLETED)
        if not goes_on:
            record.stage = len(self.strategy.stages)

    def _goes_on(self, best: Best) -> bool:
        """Decide by the strategy's margin whether the next stage begins."""
        record, margin = self.record, self.strategy.stop_margin
        if margin is None or record.stage + 1 >= len(self.strategy.stages):
            return True
        goes_on = record.decide(best, margin, self.better)
        if record.decisions:
            logger.info("%s: %s", self._title(), record.decisions[-1].text())
        return goes_on

    def _validate_average(self, trainer: Engine) -> None:
        """Validate the average of the stage's weights; it becomes the best if it is better."""
        average = self.mechanisms.average
        if average is None or self.stage.average is None:
            return
        if average.count < 2:
            logger.info(
                "%s: no average, as only %d of its epochs are to be averaged and it takes two",
                *(self._title(), average.count),
            )
            return
        average.load()
        renew_statistics(trainer, self.network)
        self._averaged, self._in_epoch = average.count, True
        self.evaluator.run(trainer.state.epoch)
        self._averaged, self._in_epoch = 0, False

    def _completed(self, trainer: Engine) -> None:
        """Load the best stage's weights into the network and write them to disk."""
        record = self.record
        if not self.finished:
            logger.warning("%s: stopped by another handler before it ended", self._title())
            if record.current is not None and (
                record.result is None or self.better(record.current.metric, record.result.metric)
            ):
                record.result = record.current
        if record.result is None:
            raise ValueError(
                "training: ended before the first validation, there is no result; train for "
                "at least val_interval epochs"
            )
        self.network.load_state_dict(record.result.weights)
        if is_main_process():
            write_tensors(self.model_path, self._result(record.result, kept(trainer).changes))
        stage = self.strategy.stages[record.result.stage]
        line = result(stage, self.metric, record.result, self.model_path)
        logger.info("%s: %s", self.strategy.name, line)
        trainer.fire_event(StageEvents.RUN_COMPLETED)

    def model_content(self, weights: Mapping[str, Tensor], stage: int) -> dict[str, Any]:
        """Return the content of a model file: plain Python and tensors.

        Args:
            weights: of the network.
            stage: 0-based number of their stage.
        """
        settings = settings_of(self.network, self.settings)
        return {
            **content_of(weights, settings, self.data),
            "strategy": self.strategy.plain(),
            VAL_INTERVAL: self.val_interval,  # only validated epochs can be the result
            "stage": self.strategy.stages[stage].name,
        }

    def _result(self, best: Best, changes: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the content of ``model.pt``."""
        return {
            **self.model_content(best.weights, best.stage),
            "metric": self.metric,
            "value": best.metric,
            "epoch": best.epoch,
            **({"averaged": best.averaged} if best.averaged else {}),
            **({"changes": changes} if changes else {}),
        }

    def _title(self) -> str:
        """Name the current stage for messages."""
        return f"stage {self.record.stage + 1} of {len(self.strategy.stages)}, {self.stage.name}"
