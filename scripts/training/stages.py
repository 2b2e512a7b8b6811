"""Staged fine-tuning: one training run in which a strategy says what trains when."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys
from torch import Tensor, nn
from torch.optim import Optimizer

from scripts.bundle.model_file import content_of, settings_of
from scripts.training.engine_events import (
    CheckpointEvents,
    StageEvents,
    is_main_process,
    keep_state,
    mean_of_all_processes,
    register,
)
from scripts.training.stage_checks import (
    check_engines,
    check_optimizer,
    check_same_objects,
    check_stages,
    unwrapped,
)
from scripts.training.stage_record import Best, Epoch, StageRecord, copy_of, in_millions, scalars
from scripts.training.strategies import Stage, read_strategy
from scripts.training.tensor_files import MODEL_FILE, write_tensors

logger = logging.getLogger(__name__)


class StagedFineTuning:
    """Ignite handler that runs the stages of a strategy within one ``SupervisedTrainer`` run.

    A stage starts from the best weights of the one before, with its parts released, everything else
    frozen, and a fresh optimiser state. It ends by its epochs or its patience, with its best
    weights by the evaluator's key metric. The best stage (of equal ones, the earliest) is the
    result: at the end it is in the network and in ``output_dir/model.pt``, which says what it is
    (:mod:`scripts.bundle.model_file`), with strategy, stage, epoch, and value of the key metric.

    All names and numbers of all stages are checked before the first iteration. The evaluator is run
    by MONAI's ``ValidationHandler``. The order of the trainer's handlers does not matter: an epoch
    is judged after all other handlers have seen its end.

    Args:
        network: a ``custom_nets.freezing.Freezable``, or one inside DistributedDataParallel.
        optimizer: with one group for each of ``network.parameter_groups()``, see
            :func:`scripts.training.strategies.parameter_groups`.
        evaluator: MONAI evaluator of the same network; its key metric and ``metric_cmp_fn`` judge.
        strategy: see :mod:`scripts.training.strategies`.
        epochs: of stages that do not say.
        learning_rate: of stages that do not say.
        final_rate: of stages that do not say.
        output_dir: folder of ``model.pt``.
        val_interval: epochs between validations, as ``ValidationHandler`` has it.
        settings: the config's ``model_settings``: what evaluation and prediction must have equal.
        data: what it is trained on, see :func:`scripts.datasets.datalist.training_data`.

    Raises:
        ValueError: for whatever would fail, or mean something else, in a later stage.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        evaluator: Engine,
        strategy: Mapping[str, Any],
        *,
        epochs: int,
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
        self.strategy = read_strategy(
            strategy, epochs=epochs, learning_rate=learning_rate, final_rate=final_rate
        )
        self.model_path = Path(output_dir) / MODEL_FILE
        self.val_interval = val_interval
        self.settings = dict(settings or {})
        self.data = dict(data or {})
        self.record = StageRecord()
        check_optimizer(self.network, optimizer)
        self.trainable = check_stages(self.network, self.strategy, val_interval)
        self.total_parameters = sum(tensor.numel() for tensor in self.network.parameters())
        self.metric: str = getattr(evaluator.state, "key_metric_name", None) or ""
        self._in_epoch = False
        self._losses: list[float] = []
        self._metrics: dict[str, float] = {}
        self._since = 0.0

    @property
    def finished(self) -> bool:
        """Whether every stage has ended."""
        return self.record.stage >= len(self.strategy.stages)

    @property
    def stage(self) -> Stage:
        """The stage that runs, or that comes next."""
        return self.strategy.stages[self.record.stage]

    def attach(self, engine: Engine) -> None:
        """Follow a trainer.

        Raises:
            ValueError: when the trainer has fewer epochs than the stages, or the evaluator has no
                key metric.
        """
        check_engines(engine, self.evaluator, self.strategy)
        register(engine, StageEvents)
        register(engine, CheckpointEvents)
        compared = {"strategy": self.strategy.plain(), **settings_of(self.network, self.settings)}
        keep_state(engine, "stages", self, settings=compared)
        engine.add_event_handler(CheckpointEvents.RESUMED, self._resumed)
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch_started)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._loss_completed)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        self.evaluator.add_event_handler(Events.COMPLETED, self._validated, engine)

    def state_dict(self) -> dict[str, Any]:
        """The record, and the evaluator's own best metric, which its log lines show."""
        state = self.evaluator.state
        best = {"best_metric": float(state.best_metric), "epoch": int(state.best_metric_epoch)}
        return {**self.record.state_dict(), "evaluator": best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Stand where the saved run stood, within its stage or before the next one."""
        self.record.load_state_dict(state_dict)
        self.evaluator.state.best_metric = state_dict["evaluator"]["best_metric"]
        self.evaluator.state.best_metric_epoch = state_dict["evaluator"]["epoch"]
        if self.record.begun:
            self.network.set_trainable(self.stage.trainable)

    def _resumed(self, trainer: Engine) -> None:
        if self.finished:
            logger.info("%s: all stages are finished already", self.strategy.name)
            trainer.terminate()
        elif self.record.begun:
            logger.info(
                "resuming %s: %d of at most %d epochs are done",
                *(self._title(), self.record.stage_epoch, self.stage.epochs),
            )

    def _started(self, trainer: Engine) -> None:
        """Last checks; and take the last place at an epoch's end, after every other handler."""
        check_same_objects(trainer, self.evaluator, self.network, self.optimizer)
        if not trainer.has_event_handler(self._epoch_completed, Events.EPOCH_COMPLETED):
            trainer.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _epoch_started(self, trainer: Engine) -> None:
        if not self.record.begun:
            self._begin_stage(trainer)
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate(group["name"], self.record.stage_epoch)
        self._losses, self._metrics = [], {}
        self._since = time.perf_counter()
        self._in_epoch = True

    def _begin_stage(self, trainer: Engine) -> None:
        """Release the stage's parts, forget the optimiser's state."""
        stage = self.stage
        self.network.set_trainable(stage.trainable)
        self.optimizer.state.clear()
        self.record.begun = True
        logger.info(
            "%s: released %s; %s of %s parameters train; learning rate %g%s",
            self._title(),
            ", ".join(stage.trainable),
            in_millions(sum(self.trainable[self.record.stage].values())),
            in_millions(self.total_parameters),
            stage.learning_rate,
            "".join(f", {part} {rate:g}" for part, rate in stage.learning_rates.items()),
        )
        trainer.fire_event(StageEvents.STAGE_STARTED)

    def _loss_completed(self, trainer: Engine) -> None:
        """Stop before a loss that is no number reaches the weights."""
        loss = float(trainer.state.output[CommonKeys.LOSS].detach())
        if not math.isfinite(loss):
            raise ValueError(
                f"loss: is {loss} in {self._title()}, epoch {trainer.state.epoch}, iteration "
                f"{trainer.state.iteration}; lower the learning rate or look at that batch"
            )
        self._losses.append(loss)

    def _validated(self, trainer: Engine) -> None:
        """Compare a validation's key metric with the stage's best, keep weights that are better."""
        if not self._in_epoch:
            return  # a validation outside the stages, as of the untrained network
        self._metrics = scalars(self.evaluator.state.metrics)
        value = self._metrics.get(self.metric, math.nan)
        if not math.isfinite(value):
            raise ValueError(
                f"{self.metric}: must be one finite number after a validation, is "
                f"{self.evaluator.state.metrics.get(self.metric)} in {self._title()}, epoch "
                f"{trainer.state.epoch}; look at the metric and the validation data"
            )
        record = self.record
        if record.current is None or self.better(value, record.current.metric):
            weights = copy_of(self.network)
            best = Best(record.stage, trainer.state.epoch, value, weights)
            record.improve(best, self._metrics)
        else:
            record.stale += 1

    def better(self, value: float, than: float) -> bool:
        """Whether a key metric is better than another one, as the evaluator compares them."""
        return bool(self.evaluator.metric_cmp_fn(value, than))

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
        seconds = time.perf_counter() - self._since
        record.history.append(
            Epoch(epoch, record.stage, record.stage_epoch, loss, seconds, self._metrics)
        )
        patience = self.stage.patience
        out_of_patience = patience is not None and record.stale >= patience
        if out_of_patience or record.stage_epoch >= self.stage.epochs:
            self._end_stage(trainer, "patience" if out_of_patience else "epochs")
        trainer.fire_event(StageEvents.EPOCH_RECORDED)
        if self.finished and epoch < trainer.state.max_epochs:
            trainer.terminate()

    def _end_stage(self, trainer: Engine, reason: str) -> None:
        """Put the stage's best weights into the network, keep them if no stage was better."""
        record, best = self.record, self.record.current
        if best is None:
            raise ValueError(f"{self._title()}: ends without any validation; see val_interval")
        self.network.load_state_dict(best.weights)
        if record.result is None or self.better(best.metric, record.result.metric):
            record.result = best
        logger.info(
            "%s: ended by its %s after %d epochs, best %s %.4f in epoch %d",
            self._title(),
            reason,
            record.stage_epoch,
            self.metric,
            best.metric,
            best.epoch,
        )
        record.advance()
        trainer.fire_event(StageEvents.STAGE_COMPLETED)

    def _completed(self, trainer: Engine) -> None:
        """Leave the best stage's network, in memory and on the disk."""
        record = self.record
        if not self.finished:
            logger.warning("%s: stopped by another handler before its end", self._title())
            if record.current is not None and (
                record.result is None or self.better(record.current.metric, record.result.metric)
            ):
                record.result = record.current
        if record.result is None:
            raise ValueError("training: ended before any validation, there is no result to keep")
        self.network.load_state_dict(record.result.weights)
        if is_main_process():
            write_tensors(self.model_path, self._result(record.result))
        logger.info(
            "%s: the result is stage %r of epoch %d with %s %.4f: %s",
            self.strategy.name,
            self.strategy.stages[record.result.stage].name,
            record.result.epoch,
            self.metric,
            record.result.metric,
            self.model_path,
        )
        trainer.fire_event(StageEvents.RUN_COMPLETED)

    def model_content(self, weights: Mapping[str, Tensor], stage: int) -> dict[str, Any]:
        """Return the content of a model file: plain Python and tensors.

        Args:
            weights: of the network.
            stage: 0-based number of the stage that they are of.
        """
        settings = settings_of(self.network, self.settings)
        return {
            **content_of(weights, settings, self.data),
            "strategy": self.strategy.plain(),
            "stage": self.strategy.stages[stage].name,
        }

    def _result(self, best: Best) -> dict[str, Any]:
        """Content of ``model.pt``."""
        return {
            **self.model_content(best.weights, best.stage),
            "metric": self.metric,
            "value": best.metric,
            "epoch": best.epoch,
        }

    def _title(self) -> str:
        """How messages call the current stage."""
        return f"stage {self.record.stage + 1} of {len(self.strategy.stages)}, {self.stage.name}"
