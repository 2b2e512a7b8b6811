"""overview.png: the findings, outlined on the relevant slices, in one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from scripts.evaluation.pictures.class_drawing import draw_classes
from scripts.evaluation.pictures.colours import BACKGROUND, QUIET, TEXT
from scripts.evaluation.pictures.drawing import (
    draw_scale_bar,
    mark_directions,
    write_on_dark,
    write_page,
)
from scripts.evaluation.pictures.outline_drawing import OURS_WIDTH, draw_pair
from scripts.pages.page_template import NOT_FOR_DIAGNOSIS
from scripts.prediction.measures.axial_view import axial_view
from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.appearance import (
    WINDOWS,
    first_window,
    headline,
    lesion_word,
    plural,
)
from scripts.prediction.report.overview_panels import (
    LESIONS_SHOWN,
    LesionPanel,
    OrganPanel,
    lesion_panels,
    organ_palette,
    organ_panels,
    plain_panels,
)
from scripts.prediction.result import Prediction
from scripts.prediction.writing.colours import colours_of

WIDTH, MARGIN = 12.0, 0.2
HEAD, FOOT = 0.7, 0.5
LESION_TITLE, ORGAN_TITLE = 0.55, 0.35  # inches above a picture
LESION_COLUMNS, ORGAN_COLUMNS = 2, 3
GAP = 0.15

Area = tuple[float, float, float, float]
"""Left, bottom, width and height."""


def write_overview(
    prediction: Prediction, path: str | Path, *, statistics: dict[str, Any] | None = None
) -> None:
    """Write one PNG of the findings, whole or not at all; the same input gives the same bytes.

    Lesions: for the twelve largest, the slice of the longest diameter, whole and magnified;
    organs: five axial slices and a coronal one. The patient's right is on the left of the picture
    for any index order of the source. If nothing was found, three slices and a line state it.

    Args:
        prediction: the segmented CT.
        path: ends in .png.
        statistics: of :func:`scripts.prediction.measures.statistics.measure`; measured here if not
            given.

    Raises:
        ValueError: for another suffix, or geometry that cannot be shown.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path: must end in .png, got {path}")
    measured = measure(prediction) if statistics is None else statistics
    view = axial_view(prediction.affine, prediction.hu.shape)
    lesions = lesion_panels(prediction, view, measured)
    organs = organ_panels(prediction, view, measured)
    if not lesions and not organs:
        organs = plain_panels(prediction, view, measured)
    figure = _draw(prediction, measured, lesions, organs)
    write_page(figure, path)


def _draw(
    prediction: Prediction,
    statistics: dict[str, Any],
    lesions: list[LesionPanel],
    organs: list[OrganPanel],
) -> Figure:
    """Lay out the page: heading, lesions, organs, legend."""
    rows = math.ceil(len(lesions) / LESION_COLUMNS), math.ceil(len(organs) / ORGAN_COLUMNS)
    wide = WIDTH - 2 * MARGIN
    heights = (
        (wide - GAP * (LESION_COLUMNS - 1)) / LESION_COLUMNS / 2 + LESION_TITLE,
        (wide - GAP * (ORGAN_COLUMNS - 1)) / ORGAN_COLUMNS + ORGAN_TITLE,
    )
    height = HEAD + rows[0] * heights[0] + rows[1] * heights[1] + FOOT
    figure = Figure(figsize=(WIDTH, height), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    _write_heading(figure, prediction, statistics, height)
    window = WINDOWS[first_window(prediction)]
    organ_window = WINDOWS["soft tissue"] if statistics["organs"] else window
    areas = _areas(len(lesions), LESION_COLUMNS, height - HEAD, heights[0], LESION_TITLE)
    colours = colours_of(prediction)
    for lesion, area in zip(lesions, areas, strict=True):
        _draw_lesion(figure, lesion, _share(area, height), window, colours)
    below = height - HEAD - rows[0] * heights[0]
    areas = _areas(len(organs), ORGAN_COLUMNS, below, heights[1], ORGAN_TITLE)
    palette = organ_palette(prediction)
    for organ, area in zip(organs, areas, strict=True):
        _draw_organ(figure, organ, _share(area, height), organ_window, palette)
    windows = [window] * bool(lesions) + [organ_window] * bool(organs)
    _draw_legend(figure, prediction, statistics, sorted(set(windows)), height)
    return figure


def _areas(count: int, columns: int, top: float, height: float, title: float) -> list[Area]:
    """Return the areas of pictures in rows, below their titles, in inches."""
    width = (WIDTH - 2 * MARGIN - GAP * (columns - 1)) / columns
    return [
        (
            MARGIN + number % columns * (width + GAP),
            top - (number // columns + 1) * height,
            width,
            height - title,
        )
        for number in range(count)
    ]


def _share(area: Area, height: float) -> Area:
    """Convert inches to shares of the page."""
    left, bottom, wide, high = area
    return left / WIDTH, bottom / height, wide / WIDTH, high / height


def _write_heading(
    figure: Figure, prediction: Prediction, statistics: dict[str, Any], height: float
) -> None:
    """Write the study's name, a summary of the findings, and what is not shown."""
    left, line = MARGIN / WIDTH, 1 / height
    heading: dict[str, Any] = {"color": TEXT, "va": "center", "parse_math": False}
    name = _printable(prediction.study)
    figure.text(left, 1 - 0.24 * line, name, fontsize=13, fontweight="bold", **heading)
    figure.text(1 - left, 1 - 0.24 * line, NOT_FOR_DIAGNOSIS, fontsize=10, ha="right", **heading)
    words = headline(statistics)
    count = len(statistics["lesions"])
    if count > LESIONS_SHOWN:
        shown = f"the {LESIONS_SHOWN} largest of {count} {plural(lesion_word(statistics))}"
        words += f" (shown: {shown})"
    figure.text(left, 1 - 0.5 * line, words, fontsize=11, **heading)


def _printable(name: str) -> str:
    """Replace characters that the font lacks (past Cyrillic) by question marks."""
    return "".join(letter if letter.isprintable() and letter < "\u0530" else "?" for letter in name)


def _draw_lesion(
    figure: Figure,
    lesion: LesionPanel,
    area: Area,
    window_hu: tuple[float, float],
    colours: Mapping[int, str],
) -> None:
    """Draw a lesion's slice and, next to it, the lesion magnified with its diameters."""
    left, bottom, width, height = area
    grid = figure.add_gridspec(
        1, 1, left=left, right=left + width, bottom=bottom, top=bottom + height
    )
    pair = GridSpecFromSubplotSpec(1, 2, grid[0], wspace=0.02)
    whole, zoomed = figure.add_subplot(pair[0]), figure.add_subplot(pair[1])
    draw_pair(whole, zoomed, lesion.panel, window_hu, colours=colours)
    for ends in lesion.diameters_mm:
        line = Line2D(ends[:, 0], ends[:, 1], color=TEXT, linewidth=0.8, linestyle="--")
        line.set_path_effects([withStroke(linewidth=2.2, foreground="black")])
        zoomed.add_line(line)
    style: dict[str, Any] = {"fontweight": "bold", "parse_math": False}
    style.update(ha="left", va="bottom", clip_on=True)
    for axes, size in ((whole, 7), (zoomed, 10)):
        for label in lesion.labels:
            position, colour = (label.x_mm, label.y_mm), colours[label.number]
            write_on_dark(axes, label.text, position, fontsize=size, color=colour, **style)


def _draw_organ(
    figure: Figure,
    organ: OrganPanel,
    area: Area,
    window_hu: tuple[float, float],
    palette: list[str],
) -> None:
    """Draw one slice with its organs."""
    axes: Axes = figure.add_axes(area)
    panel = organ.panel
    draw_classes(axes, panel, panel.ours, window_hu, palette=palette)
    rows, columns = panel.image_hu.shape
    right, bottom = columns * panel.spacing_mm[1], rows * panel.spacing_mm[0]
    axes.set_xlim(0, right)
    axes.set_ylim(bottom, 0)
    axes.set_anchor("NW")
    draw_scale_bar(axes, (0, right, bottom, 0))
    if organ.coronal:
        mark_directions(axes, top="H", bottom="F")
    else:
        mark_directions(axes)
    axes.set_title(panel.title, loc="left", color=TEXT, fontsize=10, fontweight="bold", pad=4)
    axes.set_title(panel.caption, loc="right", color=QUIET, fontsize=8, pad=4)


def _draw_legend(
    figure: Figure,
    prediction: Prediction,
    statistics: dict[str, Any],
    windows: list[tuple[float, float]],
    height: float,
) -> None:
    """Explain the outlines, the dashed lines and the greys."""
    handles: list[Any] = []
    colours = colours_of(prediction)
    kinds = {one["kind"]: colours[one["number"]] for one in statistics["lesions"]}
    for kind, colour in kinds.items():
        handles.append(Line2D([], [], color=colour, linewidth=OURS_WIDTH, label=kind))
    if kinds:
        words = "longest diameter and perpendicular"
        handles.append(Line2D([], [], color=TEXT, linewidth=0.9, linestyle="--", label=words))
    for organ in statistics["organs"]:
        words = organ["name"] if organ["voxels"] else f"{organ['name']} (not found)"
        handles.append(Patch(color=colours[organ["number"]], label=words))
    for low, high in windows:
        handles.append(Line2D([], [], color="none", label=f"grey: {low:g} to {high:g} HU"))
    figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.5, 0.5 * FOOT / height),
        ncols=min(len(handles), 6),
        frameon=False,
        labelcolor=TEXT,
        fontsize=9,
    )
