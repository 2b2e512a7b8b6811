"""Pictures of classes on CT slices; each slice is a row of CT, annotation and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scripts.evaluation.pictures.colours import COLOURS, QUIET, TEXT
from scripts.evaluation.pictures.drawing import (
    PANEL_INCHES,
    Panel,
    Values,
    check_page,
    draw_legend,
    draw_slice,
    lay_out_page,
    voxel_edges,
    write_page,
)

COLUMNS = ("CT", "annotated", "network")
OPACITY = 0.4
TITLE_INCHES = 0.5


def write_classes(
    panels: Sequence[Panel],
    path: str | Path,
    *,
    class_names: Sequence[str],
    window_hu: tuple[float, float],
) -> None:
    """Write a page of slices, each a row of three pictures, as one PNG, atomically.

    Args:
        panels: slices with class values, from top to bottom.
        path: file to write, ending in .png.
        class_names: names of all classes, background first.
        window_hu: lowest (black) and highest (white) HU shown.

    Raises:
        ValueError: without panels, for another suffix, a window that is not low < high, or more
            classes than there are colours.
    """
    check_page(panels, path, window_hu)
    if not 2 <= len(class_names) <= len(COLOURS) + 1:
        raise ValueError(
            f"class_names: must be 2 to {len(COLOURS) + 1}, background first, got {class_names}"
        )
    write_page(_draw(panels, class_names, window_hu), path)


def _draw(
    panels: Sequence[Panel], class_names: Sequence[str], window_hu: tuple[float, float]
) -> Figure:
    figure, grid = lay_out_page(
        *(len(panels), len(COLUMNS)),
        width=len(COLUMNS) * PANEL_INCHES,
        title_inches=TITLE_INCHES,
        margin=0.01,
        gap=0.02,
    )
    for row, panel in enumerate(panels):
        for column, values in enumerate((None, panel.manual, panel.ours)):
            axes = figure.add_subplot(grid[row, column])
            draw_classes(axes, panel, values, window_hu)
            title = panel.title if column == 0 else COLUMNS[column]
            axes.set_title(title, loc="left", color=TEXT, fontsize=9, fontweight="bold", pad=3)
        figure.axes[-1].set_title(panel.caption, loc="right", color=QUIET, fontsize=7, pad=3)
    colours = zip(COLOURS, class_names[1:], strict=False)
    draw_legend(figure, [Patch(color=colour, label=name) for colour, name in colours], window_hu)
    return figure


def draw_classes(
    axes: Axes,
    panel: Panel,
    values: Values | None,
    window_hu: tuple[float, float],
    *,
    palette: Sequence[str] = COLOURS,
) -> None:
    """Draw the CT in grey and, over it, each class in its colour with its outline."""
    draw_slice(axes, panel, window_hu)
    if values is None:
        return
    height, width = panel.size_mm
    axes.imshow(
        colour_classes(values, palette), extent=(0, width, height, 0), interpolation="nearest"
    )
    for value in (v for v in np.unique(values) if v):
        edges = voxel_edges(values == value) * np.array(panel.spacing_mm[::-1])
        colour = palette[value - 1]
        axes.add_collection(LineCollection(list(edges), colors=colour, linewidths=0.7))


def colour_classes(values: Values, palette: Sequence[str] = COLOURS) -> npt.NDArray[np.float64]:
    """Convert class values to translucent colours.

    Args:
        values: (Y, X), 0 for background, which is transparent.
        palette: colours of the values from 1 on.

    Returns:
        (Y, X, 4): red, green, blue and opacity, 0 to 1.

    Example:
        >>> colour_classes(np.array([[0, 1]], np.uint8))[..., 3]
        array([[0. , 0.4]])
    """
    clear = [(0.0, 0.0, 0.0, 0.0)]
    table = np.array(clear + [(*to_rgb(colour), OPACITY) for colour in palette])
    return np.asarray(table[values])
