"""The FROC curve as a picture, with its band and the seven rates of LUNA16's score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scripts.evaluation.figures.froc import BAND_RATES, NAMES, RATES, Froc
from scripts.storage.files import atomic_path

OURS = "#1f5fa8"


def draw_froc(froc: Froc, path: Path, *, title: str = "") -> None:
    """Draw sensitivity against false positives per scan, atomically.

    Args:
        froc: the curve.
        path: of the PNG.
        title: above the picture.
    """
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    if froc.band is not None:
        label = "95 % band, resampled scans"
        axes.fill_between(BAND_RATES, *froc.band, color=OURS, alpha=0.18, linewidth=0, label=label)
    # corners of the curve between the marked rates are drawn where they are
    inside = froc.rates[(froc.rates > RATES[0]) & (froc.rates < RATES[-1])]
    rates = np.union1d(inside, BAND_RATES)
    drawn = [froc.sensitivity(rate) for rate in rates]
    axes.plot(rates, drawn, color=OURS, linewidth=1.8, label="FROC")
    values = [point.value for point in froc.points]
    axes.plot(RATES, values, "o", color=OURS, markersize=5, label=f"CPM {froc.cpm.value:.3f}")
    axes.set_xscale("log", base=2)
    axes.set_xticks(RATES, NAMES)
    axes.minorticks_off()
    axes.set_yticks(np.arange(0, 1.01, 0.1))
    axes.set(xlim=(RATES[0] * 0.94, RATES[-1] * 1.06), ylim=(-0.02, 1.02))
    axes.set(xlabel="false positives per scan", ylabel="sensitivity")
    counted = f"{froc.nodules} nodules, {len(froc.marks)} scans"
    axes.set_title(f"{title}\n{counted}" if title else counted, fontsize=10)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="best", frameon=False, fontsize=9)
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=140, metadata={"Software": None})
