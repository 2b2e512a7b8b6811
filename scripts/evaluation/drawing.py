"""Pictures of outlines on CT slices: what a reader drew and what the network says.

Slices are (Y, X) arrays with rows running to posterior and columns to the left, so that they show
as radiologists look at them: the patient's right on the left side, anterior on top. Outlines run
along the edges of the voxels, as ITK-SNAP draws them: nothing is smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from scipy import ndimage

from scripts.evaluation.boxes import box_of
from scripts.evaluation.confusion import Mask
from scripts.storage.files import atomic_path

LUNG_WINDOW = (-1200.0, 200.0)
# Okabe and Ito's colours: told apart with any kind of colour vision, and from grey
MANUAL_COLOUR, OURS_COLOUR = "#E69F00", "#56B4E9"
MANUAL_WIDTH, OURS_WIDTH = 2.8, 1.3
BACKGROUND, TEXT, QUIET = "#101214", "#F2F2F2", "#A8B0B8"
PANEL_INCHES, TITLE_INCHES, FOOT_INCHES = 2.9, 0.55, 0.5
LEAST_ZOOM_MM = 36.0
DPI = 160

Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class Panel:
    """One slice to show.

    Args:
        image_hu: (Y, X) in HU.
        ours: (Y, X) mask, the network's.
        manual: (Y, X) mask, the reader's; None where there is none.
        spacing_mm: y, x.
        title: in bold above the picture.
        caption: in grey below the title.
        focus: (Y, X) mask to zoom in on; what is outlined when None.

    Raises:
        ValueError: when the shapes differ or the spacing is not two numbers above 0.
    """

    image_hu: npt.NDArray[np.generic]
    ours: Mask
    manual: Mask | None
    spacing_mm: tuple[float, float]
    title: str = ""
    caption: str = ""
    focus: Mask | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        masks = {"ours": self.ours, "manual": self.manual, "focus": self.focus}
        for name, mask in masks.items():
            if mask is not None and (mask.shape != self.image_hu.shape or mask.ndim != 2):
                raise ValueError(
                    f"{name}: must be (Y, X) like the image {self.image_hu.shape}, got {mask.shape}"
                )
        if len(self.spacing_mm) != 2 or min(self.spacing_mm) <= 0:
            raise ValueError(
                f"spacing_mm: must be two numbers above 0 (y, x), got {self.spacing_mm}"
            )

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width."""
        height, width = self.image_hu.shape
        return height * self.spacing_mm[0], width * self.spacing_mm[1]


def overlay(panel: Panel, *, window_hu: tuple[float, float] = LUNG_WINDOW) -> Figure:
    """Draw one slice, and beside it the part that is outlined, enlarged."""
    return _draw_grid([panel], window_hu, columns=1)


def outline_grid(
    panels: Sequence[Panel],
    path: str | Path,
    *,
    columns: int = 2,
    window_hu: tuple[float, float] = LUNG_WINDOW,
) -> None:
    """Write slices, each with its enlarged part, as one PNG, whole or not at all.

    Args:
        panels: in reading order.
        path: ends in .png.
        columns: pairs of pictures in a row.
        window_hu: lowest (black) and highest (white) HU shown.

    Raises:
        ValueError: without panels, for another suffix, for a window that is not low < high.
    """
    if not panels:
        raise ValueError("panels: must not be empty, there is nothing to draw")
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path: must end in .png, got {path}")
    if not window_hu[0] < window_hu[1]:
        raise ValueError(f"window_hu: must be low < high, got {window_hu}")
    figure = _draw_grid(panels, window_hu, columns=min(columns, len(panels)))
    with atomic_path(path) as beside:
        figure.savefig(beside, dpi=DPI, facecolor=BACKGROUND, metadata={"Software": None})


def _draw_grid(panels: Sequence[Panel], window_hu: tuple[float, float], *, columns: int) -> Figure:
    """Lay pairs of pictures out on a dark page with one legend."""
    rows = math.ceil(len(panels) / columns)
    width = columns * (2 * PANEL_INCHES + 0.35) + 0.1
    height = rows * (PANEL_INCHES + TITLE_INCHES) + FOOT_INCHES
    figure = Figure(figsize=(width, height), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        *(rows, columns),
        left=0.2 / width,
        right=1 - 0.2 / width,
        top=1 - TITLE_INCHES / height,
        bottom=FOOT_INCHES / height,
        wspace=0.3 / (2 * PANEL_INCHES),
        hspace=TITLE_INCHES / PANEL_INCHES,
    )
    for index, panel in enumerate(panels):
        pair = GridSpecFromSubplotSpec(1, 2, grid[divmod(index, columns)], wspace=0.02)
        draw_pair(figure.add_subplot(pair[0]), figure.add_subplot(pair[1]), panel, window_hu)
    _draw_outline_legend(figure, any(p.manual is not None for p in panels), window_hu, height)
    return figure


def draw_pair(whole: Axes, zoomed: Axes, panel: Panel, window_hu: tuple[float, float]) -> None:
    """Draw the whole slice and the enlarged part."""
    view = _zoom_view(panel)
    for axes, extent, lines in ((whole, _whole_view(panel), 0.45), (zoomed, view, 1.0)):
        _draw_slice(axes, panel, window_hu)
        _draw_outlines(axes, panel, lines)
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


def _draw_slice(axes: Axes, panel: Panel, window_hu: tuple[float, float]) -> None:
    """Draw the CT in grey; the axes' unit is mm."""
    height, width = panel.size_mm
    axes.imshow(
        panel.image_hu,
        cmap="gray",
        vmin=window_hu[0],
        vmax=window_hu[1],
        extent=(0, width, height, 0),
        interpolation="nearest",
    )
    axes.set(xticks=[], yticks=[], facecolor="black")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_outlines(axes: Axes, panel: Panel, scale: float) -> None:
    """Draw the manual outline broad, and ours narrow on top, so that both show where they agree."""
    for mask, colour, width in (
        (panel.manual, MANUAL_COLOUR, MANUAL_WIDTH),
        (panel.ours, OURS_COLOUR, OURS_WIDTH),
    ):
        if mask is not None:
            segments = voxel_edges(mask) * np.array(panel.spacing_mm[::-1])
            axes.add_collection(
                LineCollection(
                    list(segments), colors=colour, linewidths=width * scale, capstyle="projecting"
                )
            )


def voxel_edges(mask: Mask) -> npt.NDArray[np.float64]:
    """Return the edges between a mask's voxels and the others.

    Returns:
        (N, 2, 2): start and end (x, y) of each edge, in voxels from the outer corner.

    Example:
        >>> import numpy as np
        >>> len(voxel_edges(np.ones((1, 2), bool)))
        6
    """
    framed = np.pad(mask, 1)
    rows, columns = np.nonzero(framed[1:, 1:-1] != framed[:-1, 1:-1])
    across = np.stack([columns, rows, columns + 1, rows], axis=-1)
    rows, columns = np.nonzero(framed[1:-1, 1:] != framed[1:-1, :-1])
    down = np.stack([columns, rows, columns, rows + 1], axis=-1)
    return np.concatenate([across, down]).reshape(-1, 2, 2).astype(float)


def _whole_view(panel: Panel) -> Extent:
    """Return left, right, bottom and top in mm of a square around the body."""
    dense = ndimage.binary_opening(np.asarray(panel.image_hu, float) > -300, iterations=2)
    parts, count = ndimage.label(dense)
    whole = np.ones(dense.shape, bool)
    box = box_of(parts == np.bincount(parts.ravel())[1:].argmax() + 1 if count else whole)
    return _square(panel, box, least_mm=0.0, grow=1.04)


def _zoom_view(panel: Panel) -> Extent:
    """Return left, right, bottom and top in mm of a square around what is looked at."""
    outlined = panel.ours if panel.manual is None else panel.ours | panel.manual
    for mask in (panel.focus, panel.manual, outlined):
        if mask is not None and mask.any():
            return _square(panel, box_of(mask), least_mm=LEAST_ZOOM_MM, grow=2.2)
    return _whole_view(panel)


def _square(panel: Panel, box: tuple[slice, ...], *, least_mm: float, grow: float) -> Extent:
    """Return a square around a box, moved inside the slice where it fits."""
    sizes = [(b.stop - b.start) * mm for b, mm in zip(box, panel.spacing_mm, strict=True)]
    side = max(least_mm, grow * max(sizes))
    starts = []
    for part, mm, size in zip(box, panel.spacing_mm, panel.size_mm, strict=True):
        start = (part.start + part.stop) / 2 * mm - side / 2
        starts.append((size - side) / 2 if side >= size else min(max(start, 0), size - side))
    top, left = starts
    return left, left + side, top + side, top


def draw_scale_bar(axes: Axes, extent: Extent) -> None:
    """Draw a bar of a round length, at most three tenths of the width."""
    left, right, bottom, top = extent
    side = right - left
    length = max(mm for mm in (1, 2, 5, 10, 20, 50, 100) if mm <= 0.3 * side or mm == 1)
    x, y = right - 0.05 * side, bottom - 0.05 * (bottom - top)
    bar = Line2D([x - length, x], [y, y], color=TEXT, linewidth=2.2, solid_capstyle="butt")
    bar.set_path_effects([withStroke(linewidth=4, foreground="black")])
    axes.add_line(bar)
    write_on_dark(axes, f"{length} mm", (x - length / 2, y - 0.025 * side), va="bottom")


def mark_directions(axes: Axes, *, top: str = "A", bottom: str = "P") -> None:
    """Mark the patient's right and left, and what is on top and at the bottom: front and back."""
    for letter, place in {"R": (0.03, 0.5), "L": (0.97, 0.5), top: (0.5, 0.97)}.items():
        write_on_dark(axes, letter, place, transform=axes.transAxes)
    write_on_dark(axes, bottom, (0.5, 0.03), transform=axes.transAxes)


def write_on_dark(axes: Axes, text: str, place: tuple[float, float], **how: Any) -> None:
    """Write light on a dark rim, to be read on any grey."""
    label = axes.text(
        *place, text, **{"ha": "center", "va": "center", "color": TEXT, "fontsize": 8, **how}
    )
    label.set_path_effects([withStroke(linewidth=2, foreground="black")])


def _draw_outline_legend(
    figure: Figure, has_manual: bool, window_hu: tuple[float, float], height: float
) -> None:
    """Name the two outlines and the window."""
    handles: list[Artist] = [
        Line2D([], [], color=OURS_COLOUR, linewidth=OURS_WIDTH, label="network")
    ]
    if has_manual:
        manual = Line2D([], [], color=MANUAL_COLOUR, linewidth=MANUAL_WIDTH, label="annotation")
        handles.insert(0, manual)
    draw_legend(figure, handles, window_hu, height)


def draw_legend(
    figure: Figure, handles: Sequence[Artist], window_hu: tuple[float, float], height: float
) -> None:
    """Write the legend at the foot of a figure of so many inches, the window's HU last."""
    low, high = window_hu
    shown = [*handles, Line2D([], [], color="none", label=f"grey: {low:g} to {high:g} HU")]
    figure.legend(
        handles=shown,
        loc="center",
        bbox_to_anchor=(0.5, 0.5 * FOOT_INCHES / height),
        ncols=len(shown),
        frameon=False,
        labelcolor=TEXT,
        fontsize=9,
    )
