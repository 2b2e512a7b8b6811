"""Elements of pictures of CT slices: page, slice in grey, voxel edges, scale bar, legend.

Slices are (Y, X) arrays with rows towards posterior and columns towards the patient's left, shown
in the radiological convention: the patient's right on the left side, anterior at the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from scripts.evaluation.figures.confusion import Mask
from scripts.evaluation.pictures.colours import BACKGROUND, TEXT
from scripts.storage.files import atomic_path

PANEL_INCHES, FOOT_INCHES = 2.9, 0.5
DPI = 160

Extent = tuple[float, float, float, float]
"""Left, right, bottom and top in mm."""
Values = npt.NDArray[Any]
"""(Y, X) mask, or class values."""


@dataclass(frozen=True)
class Panel:
    """One slice to show.

    Args:
        image_hu: (Y, X) in HU.
        ours: (Y, X) mask or class values of the network.
        manual: (Y, X) mask or class values of the reader; None without an annotation.
        spacing_mm: y, x.
        title: text in bold above the picture.
        caption: text in grey below or to the right of the title.
        focus: (Y, X) mask of the part to enlarge; None for the outlined part.

    Raises:
        ValueError: when the shapes differ or the spacing is not two numbers above 0.
    """

    image_hu: npt.NDArray[Any]
    ours: Values
    manual: Values | None
    spacing_mm: tuple[float, float]
    title: str = ""
    caption: str = ""
    focus: Mask | None = None

    def __post_init__(self) -> None:
        """Check shapes and spacing."""
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
        """Height and width in mm."""
        height, width = self.image_hu.shape
        return height * self.spacing_mm[0], width * self.spacing_mm[1]


def check_page(panels: Sequence[Panel], path: str | Path, window_hu: tuple[float, float]) -> None:
    """Check the arguments of a page.

    Raises:
        ValueError: without panels, for a suffix other than .png, a window that is not low < high.
    """
    if not panels:
        raise ValueError("panels: must not be empty, there is nothing to draw")
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path: must end in .png, got {path}")
    if not window_hu[0] < window_hu[1]:
        raise ValueError(f"window_hu: must be low < high, got {window_hu}")


def lay_out_page(
    rows: int, columns: int, *, width: float, title_inches: float, margin: float, gap: float
) -> tuple[Figure, GridSpec]:
    """Return an empty dark page and its grid of pictures, each row with a title above.

    Args:
        rows: number of rows of pictures.
        columns: number of columns of pictures.
        width: width of the page in inches; the height follows from the rows.
        title_inches: height of a title.
        margin: left and right margin, as a share of the width.
        gap: gap between columns, as a share of a column's width.
    """
    height = rows * (PANEL_INCHES + title_inches) + FOOT_INCHES
    figure = Figure(figsize=(width, height), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        *(rows, columns),
        left=margin,
        right=1 - margin,
        top=1 - title_inches / height,
        bottom=FOOT_INCHES / height,
        wspace=gap,
        hspace=title_inches / PANEL_INCHES,
    )
    return figure, grid


def write_page(figure: Figure, path: str | Path) -> None:
    """Write a page as PNG, atomically; the same page gives the same bytes."""
    with atomic_path(path) as part:
        figure.savefig(part, dpi=DPI, facecolor=BACKGROUND, metadata={"Software": None})


def draw_slice(axes: Axes, panel: Panel, window_hu: tuple[float, float]) -> None:
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


def voxel_edges(mask: Mask) -> npt.NDArray[np.float64]:
    """Return the edges between the voxels inside and outside a mask.

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
    """Mark the patient's right and left, and the directions at the top and the bottom."""
    for letter, position in {"R": (0.03, 0.5), "L": (0.97, 0.5), top: (0.5, 0.97)}.items():
        write_on_dark(axes, letter, position, transform=axes.transAxes)
    write_on_dark(axes, bottom, (0.5, 0.03), transform=axes.transAxes)


def write_on_dark(axes: Axes, text: str, position: tuple[float, float], **options: Any) -> None:
    """Write light text with a dark outline, readable on any grey."""
    label = axes.text(
        *position, text, **{"ha": "center", "va": "center", "color": TEXT, "fontsize": 8, **options}
    )
    label.set_path_effects([withStroke(linewidth=2, foreground="black")])


def draw_legend(figure: Figure, handles: Sequence[Artist], window_hu: tuple[float, float]) -> None:
    """Draw the legend at the bottom of a page, with the HU window last."""
    low, high = window_hu
    entries = [*handles, Line2D([], [], color="none", label=f"grey: {low:g} to {high:g} HU")]
    figure.legend(
        handles=entries,
        loc="center",
        bbox_to_anchor=(0.5, 0.5 * FOOT_INCHES / figure.get_figheight()),
        ncols=len(entries),
        frameon=False,
        labelcolor=TEXT,
        fontsize=9,
    )
