"""Agreement of readers and of drawn balls by the size of the nodule, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scripts.evaluation.figures.nodules import SIZE_GROUPS
from scripts.storage.files import atomic_path

READERS, BALL = "#1f5fa8", "#c8641e"
NAMES = ("< 6 mm", "6-10", "10-20", "> 20 mm")


def draw_readers(nodules: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw Dice between readers and of the balls, and the balls' volumes, atomically.

    Args:
        nodules: one row per nodule, see :mod:`scripts.evaluation.readers.measured`.
        path: of the PNG.
    """
    listed = [row for row in nodules if row["listed"] and row["readers"]]
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _dice(left, listed)
    _volumes(right, listed)
    for axes in (left, right):
        axes.grid(color="#dddddd", linewidth=0.7)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=140, metadata={"Software": None})


def _dice(axes: Axes, listed: Sequence[Mapping[str, Any]]) -> None:
    """Draw a box per size group: quartiles, whiskers at the 5th and 95th percentile."""
    kinds = (("two readers", "readers_dice", READERS), ("ball", "ball_dice", BALL))
    for step, (_, column, colour) in enumerate(kinds):
        for place, group in enumerate(SIZE_GROUPS):
            members = [row for row in listed if row["size_group"] == group]
            values = [row[column] for row in members if row[column] is not None]
            if not values:
                continue
            axes.boxplot(
                [values],
                positions=[place + (step - 0.5) * 0.36],
                widths=0.3,
                whis=(5, 95),
                showfliers=False,
                patch_artist=True,
                medianprops={"color": "white", "linewidth": 1.6},
                boxprops={"facecolor": colour, "edgecolor": colour},
                whiskerprops={"color": colour},
                capprops={"color": colour},
            )
    counts = [sum(row["size_group"] == group for row in listed) for group in SIZE_GROUPS]
    labels = [f"{name}\nn = {count}" for name, count in zip(NAMES, counts, strict=True)]
    axes.set_xticks(range(len(SIZE_GROUPS)), labels)
    axes.set(ylim=(0, 1), ylabel="Dice per nodule", xlabel="diameter on LUNA16's list")
    axes.set_title(
        "Dice between two readers, and of the ball\nagainst two or more readers", fontsize=10
    )
    if listed:
        handles = [Patch(color=colour, label=name) for name, _, colour in kinds]
        axes.legend(handles=handles, loc="lower right", frameon=False, fontsize=9)


def _volumes(axes: Axes, listed: Sequence[Mapping[str, Any]]) -> None:
    """Draw the ratio of volumes of each nodule against its diameter."""
    shown = [row for row in listed if row["ball_volume_ratio"]]
    diameters = [row["luna16_diameter_mm"] for row in shown]
    ratios = [row["ball_volume_ratio"] for row in shown]
    axes.plot(diameters, ratios, ".", color=BALL, markersize=3.5, alpha=0.5)
    axes.axhline(1, color="#444444", linewidth=1)
    axes.set(xscale="log", yscale="log", ylim=(0.25, 8))
    ticks = (4, 6, 10, 20, 30)
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.set_yticks((0.25, 0.5, 1, 2, 4, 8), ["1/4", "1/2", "1", "2", "4", "8"])
    axes.minorticks_off()
    middle = f"median {np.median(ratios):.2f}" if ratios else "none"
    axes.set(xlabel="diameter on LUNA16's list, mm", ylabel="volume of the ball / of the outlines")
    axes.set_title(
        f"Volume of the ball relative to the voxels\nof two or more readers: {middle}", fontsize=10
    )
