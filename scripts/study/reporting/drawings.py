"""The pictures of a study's report: figures with intervals, curves, outlines of equal slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scripts.evaluation.pictures.colours import MANUAL_COLOUR, OURS_COLOUR
from scripts.evaluation.pictures.outline_drawing import LUNG_WINDOW
from scripts.storage.files import atomic_path
from scripts.study.reporting.results import Result, Table
from scripts.study.reporting.statistics import estimate
from scripts.volumes.boxes import box_of

OURS, PAPER = "#1f5fa8", "#c8500a"
MARGIN_MM = 15.0
Rows = Mapping[str, Sequence[Result]]


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    FigureCanvasAgg(figure)
    with atomic_path(path) as file:
        figure.savefig(file, format="png", dpi=120)


def draw_comparison(
    rows: Rows, names: Sequence[str], heading: str, printed: Mapping[str, float], path: Path
) -> None:
    """Draw our figures as dots with intervals, the paper's as open diamonds, one line per row."""
    figure = Figure(figsize=(8, 1.3 + 0.36 * len(names)), layout="constrained")
    axes = figure.subplots()
    for y, name in enumerate(names):
        ours = estimate(rows.get(name, ()), heading)
        if ours.interval_95 is not None:
            axes.plot(ours.interval_95, [y, y], color=OURS, linewidth=2)
        if ours.seeds:
            axes.plot(ours.value, y, "o", color=OURS)
        else:
            axes.text(0.02, y, "missing", va="center", color="#555555", fontsize=8)
        if name in printed:
            axes.plot(printed[name], y, "D", color=PAPER, fillstyle="none")
    axes.plot([], [], "o-", color=OURS, label="ours, 95 % interval")
    if printed:
        axes.plot([], [], "D", color=PAPER, fillstyle="none", label="paper")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel=heading, xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
    tidy(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    save(figure, path)


def tidy(axes: Axes) -> None:
    """Draw a light grid, and no frame at the top and on the right."""
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def draw_curves(histories: Mapping[str, Sequence[Table]], metric: str, path: Path) -> None:
    """Draw training loss and validation metric over the epochs, averaged over seeds.

    Args:
        histories: method -> history of each seed; each method is a line.
        metric: column of the validation metric.
        path: of the picture.
    """
    figure = Figure(figsize=(9, 7), layout="constrained")
    both = figure.subplots(2, 1, sharex=True)
    colours = colormaps["tab10"].resampled(10)
    name = metric.removeprefix("val_").replace("_", " ")
    labels = {"train_loss": "training loss", metric: f"validation {name}"}
    for axes, column in zip(both, labels, strict=True):
        for index, (name, tables) in enumerate(histories.items()):
            epochs, values = mean_curve(tables, own_column(tables, column))
            line = "--" if index >= 10 else "-"
            axes.plot(epochs, values, line, marker=".", color=colours(index % 10), label=name)
        axes.set_ylabel(labels[column])
        tidy(axes)
    _mark_stages(both, histories)
    both[1].set_xlabel("epoch")
    handles, names = both[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save(figure, path)


def _mark_stages(axes: Sequence[Axes], histories: Mapping[str, Sequence[Table]]) -> None:
    """Separate the stages by dotted lines if only one method is shown."""
    if len(histories) != 1:
        return
    history = next(iter(histories.values()))[0]
    starts = [int(row["epoch"]) for row in history if row["stage_epoch"] == "1"][1:]
    for one in axes:
        for start in starts:
            one.axvline(start - 0.5, color="#888888", linewidth=0.8, linestyle=":")


def own_column(histories: Sequence[Table], column: str) -> str:
    """Return the column, or that of the same figure of another unit (of networks on volumes).

    Example:
        >>> own_column([[{"epoch": "1", "val_dice_per_volume": "0.5"}]], "val_dice_per_slice")
        'val_dice_per_volume'
    """
    names = [name for history in histories for row in history[:1] for name in row]
    start = column.rpartition("_per_")[0]
    others = [name for name in names if start and name.startswith(f"{start}_per_")]
    return column if column in names or not others else others[0]


def mean_curve(histories: Sequence[Table], column: str) -> tuple[list[int], list[float]]:
    """Average a column over seeds, epoch by epoch; epochs without a value are left out.

    Example:
        >>> mean_curve([[{"epoch": "1", "x": "2"}], [{"epoch": "1", "x": "4"}]], "x")
        ([1], [3.0])
    """
    by_epoch: dict[int, list[float]] = {}
    for history in histories:
        for row in history:
            if row.get(column):
                by_epoch.setdefault(int(row["epoch"]), []).append(float(row[column]))
    return sorted(by_epoch), [float(np.mean(by_epoch[epoch])) for epoch in sorted(by_epoch)]


def draw_same_slices(folders: Mapping[str, Path], path: Path) -> bool:
    """Draw the same slices, enlarged, with the outlines of each row's network, as in figure 11.

    Args:
        folders: row -> folder with ``same_slices.npz``.
        path: of the picture.

    Returns:
        Whether any folder has such slices.
    """
    loaded = {}
    for name, folder in folders.items():
        if (folder / "same_slices.npz").is_file():
            with np.load(folder / "same_slices.npz", allow_pickle=False) as content:
                loaded[name] = dict(content)
    if not loaded:
        return False
    count = min(sum(key.startswith("hu_") for key in one) for one in loaded.values())
    figure = Figure(figsize=(2.1 * len(loaded), 2.3 * count + 0.4), layout="constrained")
    panels = figure.subplots(count, len(loaded), squeeze=False)
    for column, (name, arrays) in enumerate(loaded.items()):
        for row in range(count):
            _draw_slice(panels[row, column], arrays, row)
        panels[0, column].set_title(f"{name}\n{panels[0, column].get_title()}", fontsize=8)
    figure.supxlabel(
        "orange: annotation; blue: network; largest, median and smallest lesion", fontsize=8
    )
    save(figure, path)
    return True


def _draw_slice(axes: Axes, arrays: Mapping[str, Any], row: int) -> None:
    manual, ours = arrays[f"manual_{row}"].astype(bool), arrays[f"pred_{row}"].astype(bool)
    y_mm, x_mm = arrays[f"spacing_{row}"]
    rows, columns = box_of(manual)
    grown_y, grown_x = int(MARGIN_MM / y_mm), int(MARGIN_MM / x_mm)
    low, high = LUNG_WINDOW
    axes.imshow(arrays[f"hu_{row}"], cmap="gray", vmin=low, vmax=high, aspect=y_mm / x_mm)
    for mask, colour in ((manual, MANUAL_COLOUR), (ours, OURS_COLOUR)):
        if mask.any():
            axes.contour(mask, [0.5], colors=[colour], linewidths=1.2)
    axes.set_xlim(columns.start - grown_x, columns.stop + grown_x)
    axes.set_ylim(rows.stop + grown_y, rows.start - grown_y)
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"Dice {float(arrays[f'dice_{row}']):.2f}", fontsize=8)
