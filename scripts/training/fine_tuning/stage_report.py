"""Table and curves of staged fine-tuning, updated during training."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from scripts.storage.files import write_csv, write_json
from scripts.training.engine_events import StageEvents, is_main_process, kept, register
from scripts.training.fine_tuning.stage_curves import draw_curves
from scripts.training.fine_tuning.stage_record import Score
from scripts.training.fine_tuning.stages import StagedFineTuning

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_DRAWINGS = 30.0
DIGITS = 6  # of losses and metrics in tables


class StageReport:
    """Ignite handler that writes a table of stages: trained parts, time and metrics.

    Files in ``output_dir``, replaced after every epoch: ``stages.json`` and ``stages.csv`` (one row
    per stage with the metrics of its best epoch), ``history.csv`` (one row per epoch) and
    ``curves.png``, drawn when a stage ends and otherwise at most twice a minute, never twice of the
    same epochs. The handler saves no state: everything is computed from the record that
    ``StagedFineTuning`` saves.

    Args:
        output_dir: the run's folder.
        metrics: names of the evaluator's metrics in the table; None for all of them. Their names
            say of what they are: ``val_dice_per_slice`` is a mean over slices,
            ``val_sensitivity_pooled`` a ratio of the voxels of all slices.
        curves: whether to draw.
        drawn: further metrics of the evaluator to draw, see
            :func:`scripts.training.fine_tuning.stage_curves.draw_curves`.
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        metrics: Sequence[str] | None = None,
        curves: bool = True,
        drawn: Sequence[str] = (),
    ) -> None:
        self.output_dir = Path(output_dir)
        self.metrics = None if metrics is None else tuple(metrics)
        self.curves = curves
        self.drawn = tuple(drawn)
        self._drawn = -SECONDS_BETWEEN_DRAWINGS
        self._epochs_drawn = 0

    def attach(self, engine: Engine) -> None:
        """Report on a trainer that also has a ``StagedFineTuning``, in any order."""
        register(engine, StageEvents)
        engine.add_event_handler(Events.STARTED, _stages_of)
        engine.add_event_handler(StageEvents.EPOCH_RECORDED, self._epoch_recorded)
        engine.add_event_handler(StageEvents.STAGE_COMPLETED, self._stage_completed)
        engine.add_event_handler(StageEvents.RUN_COMPLETED, self._run_completed)

    def _stage_completed(self, trainer: Engine) -> None:
        self._drawn = -SECONDS_BETWEEN_DRAWINGS  # so that the end of this epoch draws

    def _epoch_recorded(self, trainer: Engine) -> None:
        stages = _stages_of(trainer)
        if stages.record.history[-1].stage_epoch == 1:
            logger.info(time_left(stages))
        due = time.monotonic() - self._drawn >= SECONDS_BETWEEN_DRAWINGS
        self._write(stages, draw=due)

    def _run_completed(self, trainer: Engine) -> None:
        self._write(_stages_of(trainer), draw=True)

    def _write(self, stages: StagedFineTuning, *, draw: bool) -> None:
        if not is_main_process():
            return
        rows = table(stages, self.metrics)
        summary: dict[str, Any] = {
            "strategy": stages.strategy.name,
            "metric": stages.metric,
            "stages": rows,
        }
        if stages.strategy.stop_margin is not None:
            summary["stop_margin"] = stages.strategy.stop_margin
        write_json(self.output_dir / "stages.json", summary)
        write_csv(self.output_dir / "stages.csv", [_flat(row) for row in rows])
        write_csv(self.output_dir / "history.csv", history(stages))
        epochs = len(stages.record.history)
        if draw and self.curves and epochs != self._epochs_drawn:
            path = self.output_dir / "curves.png"
            draw_curves(stages, path, best=best_stage(stages), drawn=self.drawn)
            self._drawn, self._epochs_drawn = time.monotonic(), epochs


def table(stages: StagedFineTuning, metrics: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return one row for each stage with a complete epoch.

    Args:
        stages: the handler that runs them.
        metrics: names of the evaluator's metrics, taken from the stage's best epoch; None for all.

    Raises:
        ValueError: when the evaluator does not compute such a metric.
    """
    begun = sorted({epoch.stage for epoch in stages.record.history})
    if metrics is None:
        metrics = list(dict.fromkeys(name for s in stages.record.scores for name in s.metrics))
    best = best_stage(stages)
    return [{**_row(stages, number, metrics), "best": number == best} for number in begun]


def best_stage(stages: StagedFineTuning) -> int | None:
    """Return the 0-based number of the best stage so far, the earliest of equal ones, or None."""
    best = None
    for number, score in enumerate(stages.record.scores):
        if best is None or stages.better(score.metric, stages.record.scores[best].metric):
            best = number
    return best


def _row(stages: StagedFineTuning, number: int, metrics: Sequence[str]) -> dict[str, Any]:
    stage, trainable = stages.strategy.stages[number], stages.trainable[number]
    epochs = [epoch for epoch in stages.record.history if epoch.stage == number]
    score = stages.record.scores[number] if number < len(stages.record.scores) else None
    losses = {epoch.epoch: epoch.train_loss for epoch in epochs}
    return {
        "stage": number + 1,
        "name": stage.name,
        "trainable": list(stage.trainable),
        "trainable_parameters": sum(trainable.values()),
        "total_parameters": stages.total_parameters,
        "learning_rates": _rates(stages, number, score),
        "epochs": len(epochs),
        "best_epoch": None if score is None else score.epoch,
        **{name: None if score is None else _metric(score.metrics, name) for name in metrics},
        "train_loss": None if score is None else rounded(losses.get(score.epoch)),
        "seconds": round(sum(epoch.seconds for epoch in epochs), 3),
        **_averaged(stages, score),
        **_decision(stages, number),
    }


def _averaged(stages: StagedFineTuning, score: Score | None) -> dict[str, int]:
    """Return the epochs averaged for a stage's best weights, of strategies that average."""
    if stages.mechanisms.average is None:
        return {}
    return {"averaged": 0 if score is None else score.averaged}


def _decision(stages: StagedFineTuning, number: int) -> dict[str, str]:
    """Return whether the next stage began, of strategies that decide it; else nothing."""
    if stages.strategy.stop_margin is None:
        return {}
    made = [one.text() for one in stages.record.decisions if one.stage == number]
    return {"decision": made[0] if made else ""}


def _rates(stages: StagedFineTuning, number: int, score: Score | None) -> dict[str, float]:
    """Return a stage's first rates; if they follow the updates, those at the end of its best epoch.

    Rates that follow the updates are those of a schedule or of gradients.
    """
    stage, trainable = stages.strategy.stages[number], stages.trainable[number]
    if score is not None and (stage.schedule or stage.auto_rates):
        return {
            part: float(f"{rate:.6g}")
            for epoch in stages.record.history
            if epoch.epoch == score.epoch
            for part, rate in epoch.rates.items()
        }
    layers = {} if not stages.mechanisms.layered else stages.mechanisms.blocks
    return {
        part: stage.rate(part, block=layers.get(part, ""))
        for part, size in trainable.items()
        if size
    }


def _metric(metrics: Mapping[str, float], name: str) -> float | None:
    if name not in metrics:
        raise ValueError(
            f"metrics: the evaluator has no {name}, only {', '.join(sorted(metrics))}; add it, "
            "or leave it out"
        )
    return rounded(metrics[name])


def rounded(value: float | None) -> float | None:
    """Round a figure for a table; None for a missing one."""
    return None if value is None else round(value, DIGITS)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose cells are single values."""
    rates = " ".join(f"{part}={rate:g}" for part, rate in row["learning_rates"].items())
    return {**row, "trainable": " ".join(row["trainable"]), "learning_rates": rates}


def history(stages: StagedFineTuning) -> list[dict[str, Any]]:
    """Return one row for each complete epoch; metrics are None without a validation.

    The rate is the largest of all parts, at the epoch's last update; a run that an earlier version
    began has none for its first epochs.
    """
    epochs = stages.record.history
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.metrics))
    return [
        {
            "epoch": epoch.epoch,
            "stage": epoch.stage + 1,
            "stage_epoch": epoch.stage_epoch,
            "train_loss": rounded(epoch.train_loss),
            **{name: rounded(epoch.metrics.get(name)) for name in names},
            "seconds": round(epoch.seconds, 3),
            "learning_rate": max(epoch.rates.values(), default=None),
        }
        for epoch in epochs
    ]


def time_left(stages: StagedFineTuning) -> str:
    """Estimate the remaining time of the run from its last epoch, as text."""
    last = stages.record.history[-1]
    done = sum(stage.epochs for stage in stages.strategy.stages[: last.stage]) + last.stage_epoch
    left = stages.strategy.total_epochs - done
    minutes, hours = left * last.seconds / 60, left * last.seconds / 3600
    remaining = f"{hours:.1f} hours" if hours >= 2 else f"{minutes:.1f} minutes"
    return (
        f"stage {last.stage + 1} of {len(stages.strategy.stages)}: {last.seconds:.1f} s per epoch, "
        f"about {remaining} left for at most {left} epochs"
    )


def _stages_of(trainer: Engine) -> StagedFineTuning:
    """Return the trainer's ``StagedFineTuning``.

    Raises:
        ValueError: when there is none.
    """
    stages = kept(trainer).objects.get("stages")
    if not isinstance(stages, StagedFineTuning):
        raise ValueError(
            "handlers: StageReport reports on a StagedFineTuning, and the trainer has none; add "
            "one to its handlers"
        )
    return stages
