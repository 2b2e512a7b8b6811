"""Picture of the clusters of one CT: some slices, a column for each method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.patches import Patch
from numpy.typing import NDArray

from scripts.evaluation.pictures.class_drawing import draw_classes
from scripts.evaluation.pictures.colours import COLOURS, TEXT
from scripts.evaluation.pictures.drawing import (
    PANEL_INCHES,
    Panel,
    draw_legend,
    lay_out_page,
    write_page,
)
from scripts.transforms.mask_closing import Mask

SLICES = 3
TITLE_INCHES = 0.35


def shown_slices(region: Mask, count: int = SLICES) -> list[int]:
    """Return slices that divide a region into equal volumes, without repetition.

    Args:
        region: (Z, Y, X), not empty.
        count: number of slices.

    Example:
        >>> shown_slices(np.ones((9, 2, 2), bool))
        [1, 4, 7]
    """
    voxels = np.cumsum(region.sum(axis=(1, 2)))
    shares = (np.arange(count) + 0.5) / count * voxels[-1]
    return sorted(set(np.searchsorted(voxels, shares).tolist()))


def write_clusters(
    hu: NDArray[np.number],
    labelled: Mapping[str, NDArray[np.uint8]],
    region: Mask,
    path: Path,
    *,
    spacing_mm: tuple[float, float, float],
    window_hu: tuple[float, float],
) -> None:
    """Write a PNG: rows are slices from the head to the feet, columns the CT and each labelling.

    Args:
        hu: (Z, Y, X), in LPS index order.
        labelled: title -> (Z, Y, X), 0 is not coloured.
        region: (Z, Y, X), in which slices are chosen.
        path: file to write.
        spacing_mm: along x, y, z.
        window_hu: lowest (black) and highest (white) HU.
    """
    chosen = shown_slices(region)[::-1]
    columns = {"CT": None, **labelled}
    figure, grid = lay_out_page(
        *(len(chosen), len(columns)),
        width=len(columns) * PANEL_INCHES,
        title_inches=TITLE_INCHES,
        margin=0.01,
        gap=0.02,
    )
    most = max(int(values.max()) for values in labelled.values())
    palette = [COLOURS[number % len(COLOURS)] for number in range(most)]
    for row, k in enumerate(chosen):
        for column, (title, values) in enumerate(columns.items()):
            axes = figure.add_subplot(grid[row, column])
            shown = np.zeros(hu.shape[1:], np.uint8) if values is None else values[k]
            panel = Panel(hu[k], shown, None, (spacing_mm[1], spacing_mm[0]))
            draw_classes(axes, panel, None if values is None else shown, window_hu, palette=palette)
            text = f"{title}, slice {k}" if values is None else title
            axes.set_title(text, loc="left", color=TEXT, fontsize=9, fontweight="bold", pad=3)
    handles = [Patch(color=colour, label=str(n)) for n, colour in enumerate(palette, start=1)]
    draw_legend(figure, handles, window_hu)
    write_page(figure, path)
