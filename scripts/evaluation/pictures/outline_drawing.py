"""Pictures of the reader's and the network's outlines on CT slices, each with an enlarged part.

Outlines follow the edges of the voxels, as in ITK-SNAP, without smoothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from scipy import ndimage

from scripts.evaluation.pictures.colours import MANUAL_COLOUR, OURS_COLOUR, QUIET, TEXT
from scripts.evaluation.pictures.drawing import (
    PANEL_INCHES,
    Extent,
    Panel,
    check_page,
    draw_legend,
    draw_scale_bar,
    draw_slice,
    lay_out_page,
    mark_directions,
    voxel_edges,
    write_page,
)
from scripts.volumes.boxes import Box, box_of

LUNG_WINDOW = (-1200.0, 200.0)
MANUAL_WIDTH, OURS_WIDTH = 2.8, 1.3
TITLE_INCHES = 0.55
LEAST_ZOOM_MM = 36.0
ZOOM = 2.2  # times the size of the lesion


def write_outlines(
    panels: Sequence[Panel],
    path: str | Path,
    *,
    columns: int = 2,
    window_hu: tuple[float, float] = LUNG_WINDOW,
) -> None:
    """Write a page of slices, each with an enlarged part, as one PNG, atomically.

    Args:
        panels: slices with masks, in reading order.
        path: file to write, ending in .png.
        columns: number of pairs of pictures in a row.
        window_hu: lowest (black) and highest (white) HU shown.

    Raises:
        ValueError: without panels, for another suffix, for a window that is not low < high.
    """
    check_page(panels, path, window_hu)
    write_page(draw_outlines(panels, columns=columns, window_hu=window_hu), path)


def draw_outlines(
    panels: Sequence[Panel], *, columns: int = 2, window_hu: tuple[float, float] = LUNG_WINDOW
) -> Figure:
    """Draw pairs of pictures on a dark page with one legend."""
    columns = min(columns, len(panels))
    width = columns * (2 * PANEL_INCHES + 0.35) + 0.1
    figure, grid = lay_out_page(
        *(math.ceil(len(panels) / columns), columns),
        width=width,
        title_inches=TITLE_INCHES,
        margin=0.2 / width,
        gap=0.3 / (2 * PANEL_INCHES),
    )
    for index, panel in enumerate(panels):
        pair = GridSpecFromSubplotSpec(1, 2, grid[divmod(index, columns)], wspace=0.02)
        draw_pair(figure.add_subplot(pair[0]), figure.add_subplot(pair[1]), panel, window_hu)
    handles: list[Artist] = [
        Line2D([], [], color=OURS_COLOUR, linewidth=OURS_WIDTH, label="network")
    ]
    if any(panel.manual is not None for panel in panels):
        manual = Line2D([], [], color=MANUAL_COLOUR, linewidth=MANUAL_WIDTH, label="annotation")
        handles.insert(0, manual)
    draw_legend(figure, handles, window_hu)
    return figure


def draw_pair(
    whole: Axes,
    zoomed: Axes,
    panel: Panel,
    window_hu: tuple[float, float],
    *,
    colours: Mapping[int, str] | None = None,
) -> None:
    """Draw a slice and its enlarged part.

    Args:
        whole: axes of the slice.
        zoomed: axes of the enlarged part.
        panel: the slice.
        window_hu: lowest (black) and highest (white) HU shown.
        colours: value of ``panel.ours`` -> colour of its outline; by default one colour for all.
    """
    view = _zoom_view(panel)
    for axes, extent, lines in ((whole, _whole_view(panel), 0.45), (zoomed, view, 1.0)):
        draw_slice(axes, panel, window_hu)
        _draw_outlines(axes, panel, lines, colours)
        axes.set_xlim(extent[0], extent[1])
        axes.set_ylim(extent[2], extent[3])
        draw_scale_bar(axes, extent)
    mark_directions(whole)
    left, right, bottom, top = view
    whole.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, ec=TEXT, lw=0.8, ls=":")
    )
    for spine in zoomed.spines.values():
        spine.set(visible=True, edgecolor=TEXT, linewidth=0.8, linestyle=":")
    whole.set_title(panel.title, loc="left", color=TEXT, fontsize=10, fontweight="bold", pad=18)
    whole.text(
        *(0, 1.025, panel.caption), transform=whole.transAxes, color=QUIET, fontsize=8, va="bottom"
    )


def _draw_outlines(
    axes: Axes, panel: Panel, scale: float, colours: Mapping[int, str] | None
) -> None:
    """Draw the manual outline wide and ours narrow on top, so that both are visible if equal."""
    masks = [] if panel.manual is None else [(panel.manual > 0, MANUAL_COLOUR, MANUAL_WIDTH)]
    if colours is None:
        masks.append((panel.ours > 0, OURS_COLOUR, OURS_WIDTH))
    else:
        there = set(np.unique(panel.ours).tolist())  # a CT may have hundreds of colours
        shown = {value: colour for value, colour in colours.items() if value in there}
        for colour in dict.fromkeys(shown.values()):
            values = [value for value, own in shown.items() if own == colour]
            masks.append((np.isin(panel.ours, values), colour, OURS_WIDTH))
    for mask, colour, width in masks:
        segments = voxel_edges(mask) * np.array(panel.spacing_mm[::-1])
        axes.add_collection(
            LineCollection(
                list(segments), colors=colour, linewidths=width * scale, capstyle="projecting"
            )
        )


def _whole_view(panel: Panel) -> Extent:
    """Return left, right, bottom and top in mm of a square around the body.

    Without a body around the enlarged part, as in a crop of a lesion, it is around the whole slice.
    """
    dense = ndimage.binary_opening(np.asarray(panel.image_hu, float) > -300, iterations=2)
    parts, count = ndimage.label(dense)
    whole = box_of(np.ones(dense.shape, bool))
    body = box_of(parts == np.bincount(parts.ravel())[1:].argmax() + 1) if count else whole
    view, part = (_square(panel, body, least_mm=0.0, grow=1.04), _part_to_enlarge(panel))
    if part is None or _contains(view, _square(panel, part, least_mm=LEAST_ZOOM_MM, grow=ZOOM)):
        return view
    return _square(panel, whole, least_mm=0.0, grow=1.04)


def _contains(outer: Extent, inner: Extent) -> bool:
    """Return whether a square lies in another; both are left, right, bottom and top in mm."""
    low = outer[0] <= inner[0] and outer[3] <= inner[3]
    return low and inner[1] <= outer[1] and inner[2] <= outer[2]


def _part_to_enlarge(panel: Panel) -> Box | None:
    """Return the box of the nodule in question, else of all outlines; None without any."""
    for mask in (panel.focus, panel.manual, panel.ours):
        if mask is not None and mask.any():
            return box_of(mask > 0)
    return None


def _zoom_view(panel: Panel) -> Extent:
    """Return left, right, bottom and top in mm of a square around the part to enlarge."""
    part = _part_to_enlarge(panel)
    if part is None:
        return _whole_view(panel)
    return _square(panel, part, least_mm=LEAST_ZOOM_MM, grow=ZOOM)


def _square(panel: Panel, box: Box, *, least_mm: float, grow: float) -> Extent:
    """Return a square around a box, shifted into the slice if it fits."""
    sizes = [(b.stop - b.start) * mm for b, mm in zip(box, panel.spacing_mm, strict=True)]
    side = max(least_mm, grow * max(sizes))
    starts = []
    for part, mm, size in zip(box, panel.spacing_mm, panel.size_mm, strict=True):
        start = (part.start + part.stop) / 2 * mm - side / 2
        starts.append((size - side) / 2 if side >= size else min(max(start, 0), size - side))
    top, left = starts
    return left, left + side, top + side, top
