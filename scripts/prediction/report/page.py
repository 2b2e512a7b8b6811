"""report.html: a result as one page that opens from disk, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.pages.page_template import render_page
from scripts.prediction.measures.axial_view import AxialView, axial_view
from scripts.prediction.report.appearance import (
    WINDOWS,
    first_window,
    headline,
    lesion_word,
    missed_lesions,
)
from scripts.prediction.report.page_images import CURVE, encode_masks, encode_slices
from scripts.prediction.report.page_text import (
    MINUS,
    definition_rows,
    facts_rows,
    tables,
)
from scripts.prediction.result import Prediction
from scripts.prediction.writing.colours import colours_of
from scripts.storage.files import plain, write_text
from scripts.volumes.geometry import index_to_world, world_to_index

PAGE = Path(__file__).with_name("page")
SCRIPTS = ("volume.js", "drawing.js", "view.js", "findings.js", "viewer.js")


def write_report(prediction: Prediction, statistics: dict[str, Any], path: str | Path) -> None:
    """Write the page, whole or not at all; the same input gives the same bytes.

    It loads nothing from outside: pictures, masks, style and program are part of it, and its
    content security policy allows the browser to run only these. It contains no patient data
    except the images.

    Args:
        prediction: the segmented CT; its ``facts`` describe the model, see
            :func:`scripts.prediction.report.page_text.facts_rows`, and hold ``warnings`` (texts).
        statistics: of :func:`scripts.prediction.measures.statistics.measure`.
        path: of the page.

    Raises:
        ValueError: for geometry that cannot be shown.
    """
    view = axial_view(prediction.affine, prediction.hu.shape)
    lesion_kinds = statistics["lesion_kinds"]
    with_side = prediction.lungs is not None and any(map(prediction.is_of_lungs, lesion_kinds))
    listed = tables(statistics, with_side=with_side)
    rows = [row for table in listed for row in table.rows]
    text = render_page(
        "page.html",
        folder=PAGE,
        styles=["page.css"],
        scripts=SCRIPTS,
        title=prediction.study,
        headline=headline(statistics),
        warnings=[str(text) for text in prediction.facts.get("warnings") or ()],
        ends=("feet", "head") if view.rises_to_head else ("head", "feet"),
        minus=MINUS,
        colours=colours_of(prediction),
        tables=listed,
        kinds=list(dict.fromkeys(row.kind for row in rows)),
        with_confidence=any(row.confidence is not None for row in rows),
        lesion=lesion_word(statistics),
        missed=missed_lesions(statistics),
        facts=facts_rows(prediction.facts),
        definitions=definition_rows(statistics, with_side=with_side),
        data=plain(page_data(prediction, statistics, view)),
    )
    write_text(path, text)


def page_data(
    prediction: Prediction, statistics: dict[str, Any], view: AxialView
) -> dict[str, Any]:
    """Return the data of the page's program: pictures, runs, segments, windows.

    Slices are 0-based in the source's order; positions are mm from a slice's upper left corner.
    """
    mask = view.turn(prediction.mask)
    pictures, (height, width) = encode_slices(view.turn(prediction.hu))
    segments = _segments(prediction, statistics, view, mask)
    count, rows, columns = mask.shape
    origin_mm, step_mm = _axes_mm(view, mask.shape)
    window = first_window(prediction)
    return {
        "slices": count,
        "rows": rows,
        "columns": columns,
        "row_mm": view.spacing_mm[1],
        "column_mm": view.spacing_mm[2],
        "slice_mm": view.spacing_mm[0],
        "size": {"axial": count, "coronal": rows, "sagittal": columns},
        "origin_mm": origin_mm,
        "step_mm": step_mm,
        "to_head": 1 if view.rises_to_head else -1,
        "window": window,
        "windows": WINDOWS,
        "segments": segments,
        "curve": [(hu, level) for hu, level in CURVE],
        "picture_width": width,
        "picture_height": height,
        "pictures": pictures,
        "runs": encode_masks(mask),
    }


def _axes_mm(view: AxialView, shape: tuple[int, ...]) -> tuple[dict[str, float], dict[str, float]]:
    """Return LPS mm of the first voxel, and the steps, along the lines through the middle."""
    middle = [(size - 1) / 2 for size in shape[::-1]]
    origin, step = {}, {}
    for axis, name in enumerate("xyz"):
        ends = [[*middle[:axis], k, *middle[axis + 1 :]] for k in (0, 1)]
        first, second = index_to_world(ends, view.affine)[:, axis]
        origin[name], step[name] = first, second - first
    return origin, step


def _segments(
    prediction: Prediction, statistics: dict[str, Any], view: AxialView, mask: NDArray[Any]
) -> list[dict[str, Any]]:
    """Describe the segments that are present in the mask, lesions first."""
    colours = colours_of(prediction)
    described = []
    lesions = {segment.number: segment for segment in prediction.segments if segment.lesion}
    for one in (*statistics["lesions"], *statistics["organs"]):
        if not one["voxels"]:
            continue
        first, last = one["first_slice_number_1based"] - 1, one["last_slice_number_1based"] - 1
        segment = {
            **{key: one[key] for key in ("number", "kind", "name")},
            "colour": colours[one["number"]],
            "first": first,
            "last": last,
        }
        if one["number"] in lesions:
            segment.update(label=lesions[one["number"]].label, **_lesion(one, view))
        else:
            segment.update(_largest_section(mask[first : last + 1] == one["number"], first))
        described.append(segment)
    return described


def _lesion(one: dict[str, Any], view: AxialView) -> dict[str, Any]:
    """Return a lesion's position and diameters in the slice in which they were measured."""
    spacing = np.array([view.spacing_mm[2], view.spacing_mm[1]])
    ends = [one["longest_ends_lps_mm"], one["perpendicular_ends_lps_mm"]]
    points = (world_to_index(ends, view.affine)[..., :2] + 0.5) * spacing
    column, row = (points.reshape(4, 2).mean(axis=0) / spacing).astype(int).tolist()
    return {
        "slice": one["diameter_slice_index_0based"],
        "diameters": points.round(3).tolist(),
        "column": column,
        "row": row,
    }


def _largest_section(inside: NDArray[np.bool_], first: int) -> dict[str, int]:
    """Return the slice with most voxels of an organ, and its voxel nearest to their middle."""
    k = int(np.argmax(inside.sum(axis=(1, 2))))
    voxels = np.argwhere(inside[k])
    away = ((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1)
    row, column = voxels[np.argmin(away)].tolist()
    return {"slice": first + k, "column": column, "row": row}
