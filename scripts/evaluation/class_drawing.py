"""Pictures of several classes: the CT, what readers outlined, what the network says, side by side.

Slices are (Y, X) arrays with rows running to posterior and columns to the left, as in
:mod:`scripts.evaluation.drawing`, and show as radiologists look at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scripts.evaluation.drawing import (
    BACKGROUND,
    DPI,
    FOOT_INCHES,
    QUIET,
    TEXT,
    draw_legend,
    voxel_edges,
)
from scripts.storage.files import atomic_path

# Okabe and Ito's colours, from the first foreground class on
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
COLUMNS = ("CT", "annotated", "network")
OPACITY = 0.4
PANEL_INCHES, TITLE_INCHES = 2.9, 0.5

Values = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ClassPanel:
    """One slice to show.

    Args:
        image_hu: (Y, X) in HU.
        manual: (Y, X) class values, the reader's.
        ours: (Y, X) class values, the network's.
        spacing_mm: y, x.
        title: in bold above the pictures.
        caption: in grey beside it.

    Raises:
        ValueError: when the shapes differ or the spacing is not two numbers above 0.
    """

    image_hu: npt.NDArray[Any]
    manual: Values
    ours: Values
    spacing_mm: tuple[float, float]
    title: str = ""
    caption: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        shapes = {self.image_hu.shape, self.manual.shape, self.ours.shape}
        if len(shapes) != 1 or self.image_hu.ndim != 2:
            raise ValueError(f"image_hu, manual, ours: must be (Y, X) of one shape, got {shapes}")
        if len(self.spacing_mm) != 2 or min(self.spacing_mm) <= 0:
            raise ValueError(
                f"spacing_mm: must be two numbers above 0 (y, x), got {self.spacing_mm}"
            )


def class_grid(
    panels: Sequence[ClassPanel],
    path: str | Path,
    *,
    class_names: Sequence[str],
    window_hu: tuple[float, float],
) -> None:
    """Write a row of three pictures for each slice as one PNG, whole or not at all.

    Args:
        panels: from the top down.
        path: ends in .png.
        class_names: of all classes, background first.
        window_hu: lowest (black) and highest (white) HU shown.

    Raises:
        ValueError: without panels, for another suffix, a window that is not low < high, or more
            classes than there are colours.
    """
    if not panels:
        raise ValueError("panels: must not be empty, there is nothing to draw")
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path: must end in .png, got {path}")
    if not window_hu[0] < window_hu[1]:
        raise ValueError(f"window_hu: must be low < high, got {window_hu}")
    if not 2 <= len(class_names) <= len(COLOURS) + 1:
        raise ValueError(
            f"class_names: must be 2 to {len(COLOURS) + 1}, background first, got {class_names}"
        )
    figure = _draw(panels, class_names, window_hu)
    with atomic_path(path) as beside:
        figure.savefig(beside, dpi=DPI, facecolor=BACKGROUND, metadata={"Software": None})


def _draw(
    panels: Sequence[ClassPanel], class_names: Sequence[str], window_hu: tuple[float, float]
) -> Figure:
    width = len(COLUMNS) * PANEL_INCHES
    height = len(panels) * (PANEL_INCHES + TITLE_INCHES) + FOOT_INCHES
    figure = Figure(figsize=(width, height), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        *(len(panels), len(COLUMNS)),
        left=0.01,
        right=0.99,
        top=1 - TITLE_INCHES / height,
        bottom=FOOT_INCHES / height,
        wspace=0.02,
        hspace=TITLE_INCHES / PANEL_INCHES,
    )
    for row, panel in enumerate(panels):
        for column, values in enumerate((None, panel.manual, panel.ours)):
            axes = figure.add_subplot(grid[row, column])
            draw_classes(axes, panel, values, window_hu)
            words = panel.title if column == 0 else COLUMNS[column]
            axes.set_title(words, loc="left", color=TEXT, fontsize=9, fontweight="bold", pad=3)
        figure.axes[-1].set_title(panel.caption, loc="right", color=QUIET, fontsize=7, pad=3)
    colours = zip(COLOURS, class_names[1:], strict=False)
    handles = [Patch(color=colour, label=name) for colour, name in colours]
    draw_legend(figure, handles, window_hu, height)
    return figure


def draw_classes(
    axes: Axes, panel: ClassPanel, values: Values | None, window_hu: tuple[float, float]
) -> None:
    """Draw the CT in grey and, over it, every class in its colour with its outline."""
    height, width = (n * mm for n, mm in zip(panel.image_hu.shape, panel.spacing_mm, strict=True))
    extent = (0.0, width, height, 0.0)
    low, high = window_hu
    axes.imshow(
        panel.image_hu, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest"
    )
    axes.set(xticks=[], yticks=[], facecolor="black")
    for spine in axes.spines.values():
        spine.set_visible(False)
    if values is None:
        return
    axes.imshow(colour_classes(values), extent=extent, interpolation="nearest")
    for value in (v for v in np.unique(values) if v):
        edges = voxel_edges(values == value) * np.array(panel.spacing_mm[::-1])
        colour = COLOURS[value - 1]
        axes.add_collection(LineCollection(list(edges), colors=colour, linewidths=0.7))


def colour_classes(values: Values) -> npt.NDArray[np.float64]:
    """Turn class values into see-through colours.

    Args:
        values: (Y, X), 0 for background, which stays clear.

    Returns:
        (Y, X, 4): red, green, blue and opacity, 0 to 1.

    Example:
        >>> colour_classes(np.array([[0, 1]], np.uint8))[..., 3]
        array([[0. , 0.4]])
    """
    clear = [(0.0, 0.0, 0.0, 0.0)]
    table = np.array(clear + [(*to_rgb(colour), OPACITY) for colour in COLOURS])
    return np.asarray(table[values])
