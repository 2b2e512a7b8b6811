"""The files of a comparison: summary, tables and picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from scripts.evaluation.figures.intervals import Figure
from scripts.storage.files import atomic_path, write_csv
from scripts.suspicion.experiment import Experiment, Outcome
from scripts.suspicion.feature_tables import Row
from scripts.suspicion.figures import (
    Scored,
    auc,
    auc_gain,
    brier,
    calibration,
    sensitivity_at_specificity,
)
from scripts.suspicion.rated_nodules import Nodule, record_of

COLUMNS = ("classifier", "figure", "value", "low_95", "high_95", "nodules", "patients")
FIGURES = ("auc", "auc_gain_over_size", "sensitivity_at_specificity_0.9", "brier", "auc_unseen")


def figures_of(outcome: Outcome, outcomes: Sequence[Outcome], seed: int) -> dict[str, Figure]:
    """Compute the figures of one row; the gain is over size alone, on the same nodules."""
    scored = outcome.scored
    figures = {
        "auc": auc(scored, seed=seed),
        "sensitivity_at_specificity_0.9": sensitivity_at_specificity(scored, seed=seed),
        "brier": brier(scored, seed=seed),
    }
    (basis,) = (each for each in outcomes if each.name == outcome.basis)
    if basis is not outcome and np.array_equal(basis.used, outcome.used):
        figures["auc_gain_over_size"] = auc_gain(scored, basis.scored, seed=seed)
    if outcome.unseen is not None:
        figures["auc_unseen"] = auc(scored.part(outcome.unseen), seed=seed)
    return figures


def summarise(experiment: Experiment, seed: int) -> dict[str, Any]:
    """Return the figures of all rows for JSON."""
    rows = {}
    for outcome in experiment.outcomes:
        figures = figures_of(outcome, experiment.outcomes, seed)
        rows[outcome.name] = {
            "nodules": int(outcome.used.sum()),
            "left_out": int((~outcome.used).sum()),
            **{name: asdict(figure) for name, figure in figures.items()},
            "calibration": calibration(outcome.scored),
            "patients_seen_by_the_network": outcome.seen,
        }
    return rows


def write_tables(
    folder: Path, experiment: Experiment, rows: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write figures.csv, per_nodule.csv and features.csv."""
    figures = [
        dict(zip(COLUMNS, (row, name, value, *ends, one["n"], one["patients"]), strict=True))
        for row, content in rows.items()
        for name in FIGURES
        if (one := content.get(name))
        for value, ends in [(one["value"], one["interval_95"] or (None, None))]
    ]
    write_csv(folder / "figures.csv", figures, columns=COLUMNS)
    scores = [_scores(outcome) for outcome in experiment.outcomes]
    names = [outcome.name for outcome in experiment.outcomes]
    nodules, design = experiment.nodules, experiment.design
    listed = [
        {
            **record_of(nodule),
            "suspicious": int(design.labels[number]),
            "fold": int(design.folds[number]),
            **{name: column[number] for name, column in zip(names, scores, strict=True)},
        }
        for number, nodule in enumerate(nodules)
    ]
    write_csv(folder / "per_nodule.csv", listed)
    write_features(folder / "features.csv", nodules, experiment.rows, experiment.features)
    if experiment.predicted is not None:
        path = folder / "features_predicted.csv"
        write_features(path, nodules, experiment.predicted, experiment.features)


def _scores(outcome: Outcome) -> list[float]:
    column = np.full(len(outcome.used), np.nan)
    column[outcome.used] = outcome.scored.scores
    return [float(value) for value in column.round(6)]


def write_features(
    path: Path, nodules: Sequence[Nodule], rows: Sequence[Row | None], names: Sequence[str]
) -> None:
    """Write the radiomics of each nodule; empty for those without."""
    table = [
        {"nodule": nodule.id, **{name: (row or {}).get(name) for name in names}}
        for nodule, row in zip(nodules, rows, strict=True)
    ]
    write_csv(path, table, columns=("nodule", *names))


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw the ROC curves, and predicted against observed shares."""
    picture = Picture(figsize=(10, 5), layout="constrained")
    left, right = picture.subplots(1, 2)
    colours = colormaps["tab10"].resampled(10)
    for number, outcome in enumerate(outcomes):
        colour, style = colours(number % 10), ("-", "--", ":")[number // 10 % 3]
        area = auc(outcome.scored).value
        label = f"{outcome.name}: {area:.3f}"
        left.plot(*_curve(outcome.scored), color=colour, linestyle=style, label=label)
        groups = calibration(outcome.scored)
        points = [[group[key] for group in groups] for key in ("predicted", "observed")]
        right.plot(*points, marker="o", linestyle=style, color=colour, markersize=3)
    for axes in (left, right):
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
        axes.spines[["top", "right"]].set_visible(False)
    left.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC (area within test folds)")
    right.set(xlabel="predicted suspicion", ylabel="share rated suspicious", title="calibration")
    left.legend(loc="lower right", fontsize=7, frameon=False)
    picture.suptitle("Radiologists' suspicion, not pathology. Research only.", fontsize=9)
    FigureCanvasAgg(picture)
    with atomic_path(path) as file:
        picture.savefig(file, format="png", dpi=120)


def _curve(scored: Scored) -> tuple[list[float], list[float]]:
    """Return false and true positive rate at each threshold."""
    order = np.argsort(-scored.scores, kind="stable")
    hits = scored.labels[order]
    last = np.append(np.diff(scored.scores[order]) != 0, True)
    true = np.cumsum(hits)[last] / max(hits.sum(), 1)
    false = np.cumsum(~hits)[last] / max((~hits).sum(), 1)
    return [0.0, *false.tolist()], [0.0, *true.tolist()]
