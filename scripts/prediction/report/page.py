"""report.html: a result as one page that opens from disk, without a network."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from scripts.prediction.colours import colours_of
from scripts.prediction.measures.axial_view import AxialView, axial_view
from scripts.prediction.report.appearance import (
    NOT_FOR_DIAGNOSIS,
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
from scripts.storage.files import plain, write_text
from scripts.volumes.geometry import index_to_world, world_to_index

PAGE = files("scripts.prediction.report") / "page"
SCRIPTS = ("volume.js", "drawing.js", "viewer.js")


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
    with_side = prediction.lungs is not None
    style = _read("page.css")
    script = "\n".join(_read(name) for name in SCRIPTS)
    text = page_template().render(
        policy=_policy(style, script),
        study=prediction.study,
        headline=headline(statistics),
        not_for_diagnosis=NOT_FOR_DIAGNOSIS,
        warnings=[str(text) for text in prediction.facts.get("warnings") or ()],
        ends=("feet", "head") if view.rises_to_head else ("head", "feet"),
        minus=MINUS,
        colours=colours_of(prediction),
        tables=tables(statistics, with_side=with_side),
        lesion=lesion_word(statistics),
        missed=missed_lesions(statistics),
        facts=facts_rows(prediction.facts),
        definitions=definition_rows(statistics, with_side=with_side),
        style=style,
        script=script,
        data=plain(page_data(prediction, statistics, view)),
    )
    write_text(path, text)


def page_template() -> jinja2.Template:
    """Return the page's template: every text is escaped; a missing text is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # for JSON inside a script element: markup is escaped, so that no text can end the element
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template("page.html")


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
    ends = [((columns - 1) / 2, (rows - 1) / 2, k) for k in (0, 1)]
    first_mm, second_mm = index_to_world(ends, view.affine)[:, 2]
    window = first_window(prediction)
    return {
        "slices": count,
        "rows": rows,
        "columns": columns,
        "row_mm": view.spacing_mm[1],
        "column_mm": view.spacing_mm[2],
        "z_mm": first_mm,
        "z_step_mm": second_mm - first_mm,
        "to_head": 1 if view.rises_to_head else -1,
        "start": segments[0]["slice"] if segments else count // 2,
        "window": window,
        "windows": WINDOWS,
        "segments": segments,
        "curve": [(hu, level) for hu, level in CURVE],
        "picture_width": width,
        "picture_height": height,
        "pictures": pictures,
        "runs": encode_masks(mask),
    }


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
        areas = (mask[first : last + 1] == one["number"]).sum(axis=(1, 2))
        segment = {
            **{key: one[key] for key in ("number", "kind", "name")},
            "colour": colours[one["number"]],
            "first": first,
            "last": last,
            "slice": first + int(np.argmax(areas)),
        }
        if one["number"] in lesions:
            segment.update(label=lesions[one["number"]].label, **_lesion(one, view))
        described.append(segment)
    return described


def _lesion(one: dict[str, Any], view: AxialView) -> dict[str, Any]:
    """Return a lesion's position and diameters in the slice in which they were measured."""
    spacing = np.array([view.spacing_mm[2], view.spacing_mm[1]])
    ends = [one["longest_ends_lps_mm"], one["perpendicular_ends_lps_mm"]]
    points = (world_to_index(ends, view.affine)[..., :2] + 0.5) * spacing
    x, y = points.reshape(4, 2).mean(axis=0).round(2).tolist()
    return {
        "slice": one["diameter_slice_index_0based"],
        "diameters": points.round(3).tolist(),
        "x": x,
        "y": y,
    }


def _read(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return a policy that allows the page's own style and program, by hash, and its pictures."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    return (
        "default-src 'none'; img-src data:; "
        f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
