"""Plot of the loss and the validation metrics over the stages of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scripts.storage.files import atomic_path
from scripts.training.fine_tuning.stage_record import Score
from scripts.training.fine_tuning.stages import StagedFineTuning

BLUE, ORANGE, GREY, BAND = "#1f5fa8", "#c8500a", "#555555", "#f0f3f7"
NAMED_STAGES = 8


def draw_curves(
    stages: StagedFineTuning, path: Path, *, best: int | None, drawn: Sequence[str] = ()
) -> None:
    """Draw the training loss and the key metric of every epoch to a PNG file.

    Stages are bands with their names (their numbers where they are many); each stage's best epoch
    is a ring, that of ``best``, the best stage (0-based), a filled dot with its value. ``drawn``:
    further metrics; names that end in "_loss" are drawn with the training loss, others in their own
    panel.
    """
    losses = [name for name in drawn if name.endswith("_loss")]
    others = [name for name in drawn if name not in losses]
    figure = Figure(figsize=(9, 6 + 2 * len(others)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    loss, *middle, metric = figure.subplots(2 + len(others), 1, sharex=True)
    epochs = stages.record.history
    _line(loss, [(e.epoch, e.train_loss) for e in epochs], BLUE, "training loss")
    for name in losses:
        _line(loss, _points(stages, name), ORANGE, _label(name))
    if losses:
        loss.set_ylabel("loss")
        loss.legend(frameon=False, fontsize=8)
    for axes, name in zip((*middle, metric), (*others, stages.metric), strict=True):
        _line(axes, _points(stages, name), ORANGE, _label(name))
    metric.set_xlabel("epoch")
    metric.locator_params(axis="x", integer=True)
    for axes in (loss, *middle, metric):
        _bands(axes, stages)
    _name_stages(loss, stages)
    _mark_best(metric, stages.record.scores, best)
    figure.suptitle(f"Strategy {stages.strategy.name}", fontsize=11)
    with atomic_path(path) as part:
        figure.savefig(part, format="png")


def _points(stages: StagedFineTuning, name: str) -> list[tuple[int, float]]:
    """Return epoch and value of a metric for each epoch with a validation."""
    epochs = stages.record.history
    return [(epoch.epoch, epoch.metrics[name]) for epoch in epochs if name in epoch.metrics]


def _label(metric: str) -> str:
    """Return the axis label of a metric."""
    return metric.replace("val_", "validation ").replace("_", " ")


def _line(axes: Any, points: list[tuple[int, float]], colour: str, label: str) -> None:
    """Draw one curve, with a marker at each point if there are few."""
    x, y = zip(*points, strict=True) if points else ((), ())
    marker = "." if len(points) <= 60 else None
    axes.plot(x, y, color=colour, linewidth=1.4, marker=marker, label=label)
    axes.set_ylabel(label)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _spans(stages: StagedFineTuning) -> list[tuple[int, float, float]]:
    """Return (number, first epoch - 0.5, last epoch + 0.5) of every stage that has begun."""
    history = stages.record.history
    spans = []
    for number in sorted({epoch.stage for epoch in history}):
        own = [epoch.epoch for epoch in history if epoch.stage == number]
        spans.append((number, own[0] - 0.5, own[-1] + 0.5))
    return spans


def _bands(axes: Any, stages: StagedFineTuning) -> None:
    for number, first, last in _spans(stages):
        if number % 2:
            axes.axvspan(first, last, color=BAND, zorder=0)
        if number:
            axes.axvline(first, color=GREY, linewidth=0.7, linestyle=":")


def _name_stages(axes: Any, stages: StagedFineTuning) -> None:
    """Write the names above the upper panel; numbers, or every n-th number, if there are many."""
    count = len(stages.strategy.stages)
    every = 1 + (count - 1) // 30
    for number, first, last in _spans(stages):
        if number % every:
            continue
        name = stages.strategy.stages[number].name if count <= NAMED_STAGES else str(number + 1)
        name = name if len(name) <= 40 // min(count, 4) else f"{name[: 40 // min(count, 4) - 1]}…"
        axes.annotate(
            name,
            ((first + last) / 2, 1.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=8,
            color=GREY,
        )


def _mark_best(axes: Any, scores: list[Score], best: int | None) -> None:
    for score in scores:
        axes.plot(score.epoch, score.metric, "o", color=ORANGE, fillstyle="none", markersize=8)
    if best is None:
        return
    epoch, value = scores[best].epoch, scores[best].metric
    axes.plot(epoch, value, "o", color=ORANGE, markersize=8)
    title = f"rings: best of a stage; dot: best of all, {value:.4f} in epoch {epoch}"
    axes.set_title(title, fontsize=8, color=GREY)
