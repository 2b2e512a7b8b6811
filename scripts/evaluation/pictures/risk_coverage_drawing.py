"""The risk-coverage curve as a picture, between a random and the ideal order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scripts.evaluation.figures.risk_coverage import RiskCoverage
from scripts.evaluation.pictures.froc_drawing import OURS
from scripts.storage.files import atomic_path

OTHERS = "#777777"


def draw_risk_coverage(found: RiskCoverage, path: Path, *, limit: float | None = None) -> None:
    """Draw the curve, and risk against agreement of each case, atomically.

    Args:
        found: the cases.
        path: of the PNG.
        limit: agreement below which a case is flagged; None without one.
    """
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    count, figures = len(found.risk), found.figures()
    coverage = np.arange(1, count + 1) / count
    areas = [f"{figures[name].value:.3f}" for name in figures]
    random = np.full(count, figures["aurc_random_order"].value)
    left.plot(coverage, random, "--", color=OTHERS, label=f"random order, AURC {areas[1]}")
    left.plot(coverage, found.curve(), "o-", color=OURS, markersize=3, label=f"AURC {areas[0]}")
    left.plot(coverage, found.ideal_curve(), ":", color=OTHERS, label=f"ideal, AURC {areas[2]}")
    left.set(xlabel="coverage: share of scans, highest agreement first", ylabel="mean 1 - Dice")
    left.set(xlim=(0, 1.02))
    left.set_ylim(bottom=0)
    left.set_title(f"{count} scans", fontsize=10)
    right.plot(found.confidence, 1 - np.asarray(found.risk), "o", color=OURS, markersize=4)
    if limit is not None:
        right.axvline(limit, color=OTHERS, linestyle="--", label=f"limit {limit:.3f}")
    right.set(xlabel="mean pairwise Dice of the members", ylabel="Dice with the annotation")
    right.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for axes in (left, right):
        axes.grid(color="#dddddd", linewidth=0.7)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best", frameon=False, fontsize=9)
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=140, metadata={"Software": None})
