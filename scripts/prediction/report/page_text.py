"""The words and tables of report.html."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from scripts.prediction.appearance import NODULE
from scripts.prediction.measures.lung_sides import UNKNOWN

NOT_STATED = "not stated"
MINUS = "\u2212"
LIMITS = (
    "Diagnosis, treatment, screening or any other decision about a patient: this is no medical "
    "device. Outlines and figures can be wrong, findings can be missed; a reader has to check them."
)
ROWS = (
    "Choose a row to see it. Slices count from 1 in the source's own order, as in statistics.csv; "
    "a nodule's slice is the one of its longest diameter."
)
TERMS = {
    "volume": "Volume",
    "longest_axial_diameter": "Longest diameter",
    "perpendicular_axial_diameter": "Perpendicular",
    "mean_hu, sd_hu": "Mean and SD",
    "centre": "Centre",
    "slice_index_0based": "Slice",
    "lung_side": "Lung",
    "largest_component_share": "Largest piece",
    "touches_edge": "Cut off at",
}


def facts_table(facts: Mapping[str, Any]) -> str:
    """Say which model made the result, what it learned from and what it is not for.

    Args:
        facts: of the prediction. Read are ``metadata`` (what the bundle's metadata.json holds),
            else ``bundle`` and ``version`` (texts), ``weights_sha256`` (one hash or several).

    Returns:
        Rows of a description list; what the facts lack is "not stated".
    """
    bundle = facts.get("bundle")
    metadata = facts.get("metadata") or (bundle if isinstance(bundle, Mapping) else {})
    name = metadata.get("name") or (bundle if isinstance(bundle, str) else None)
    rows = {
        "Model": _said(name),
        "Version": _said(metadata.get("version") or facts.get("version")),
        "Weights (SHA-256)": _said(facts.get("weights_sha256"), "code"),
        "Trained on": _said(metadata.get("data_source")),
        "Intended use": _said(metadata.get("intended_use")),
        "Must not be used for": escape(LIMITS),
        "Task": _said(metadata.get("task")),
        "What it is": _said(metadata.get("description")),
        "References": _said(metadata.get("references")),
    }
    return "\n".join(_row(term, told) for term, told in rows.items())


def warnings_box(facts: Mapping[str, Any]) -> str:
    """Return the prediction's warnings as a box, empty where there are none."""
    warnings = [escape(str(text)) for text in facts.get("warnings") or ()]
    if not warnings:
        return ""
    items = "".join(f"<li>{text}</li>" for text in warnings)
    return (
        f'<aside class="warnings" aria-label="Warnings"><h2>Warnings</h2><ul>{items}</ul></aside>'
    )


def definitions_table(statistics: Mapping[str, Any]) -> str:
    """Say how the figures were measured."""
    rows = statistics["definitions"].items()
    return "\n".join(_row(TERMS.get(key, key), escape(text)) for key, text in rows)


def tables(statistics: Mapping[str, Any], colours: Mapping[int, str]) -> str:
    """Return the tables of nodules and organs, and a line where nothing was found.

    Args:
        statistics: of :func:`scripts.prediction.measures.statistics.measure`.
        colours: of each segment's number, #rrggbb.
    """
    parts = []
    nodules = statistics["nodules"]
    if nodules:
        parts.append(_nodule_table(nodules, colours))
    elif NODULE in statistics["looked_for"]:
        parts.append('<p class="none">No nodule was found. Small or faint ones can be missed.</p>')
    if statistics["organs"]:
        parts.append(_organ_table(statistics["organs"], colours))
    if nodules or statistics["organs"]:
        parts.append(f'<p class="note">{ROWS}</p>')
    if not parts:
        parts.append('<p class="none">No finding: nothing was segmented in this scan.</p>')
    return "\n".join(parts)


def _nodule_table(nodules: Sequence[Mapping[str, Any]], colours: Mapping[int, str]) -> str:
    head = (
        *("Nodule", "Longest diameter, mm", "Perpen\u00addicular, mm", "Volume, mm\u00b3"),
        *("Mean \u00b1 SD, HU", "Lung", "Slice", "Centre x, y, z, mm (LPS)"),
    )
    rows = []
    for one in nodules:
        centre = ", ".join(number(value, 1) for value in one["centre_lps_mm"])
        cells = (
            number(one["longest_axial_diameter_mm"], 1),
            number(one["perpendicular_axial_diameter_mm"], 1),
            number(one["volume_mm3"], 0),
            f"{number(one['mean_hu'], 0)} \u00b1 {number(one['sd_hu'], 0)}",
            "\u2013" if one["lung_side"] == UNKNOWN else one["lung_side"],
            str(one["diameter_slice_number_1based"]),
            centre,
        )
        rows.append(_finding_row(one, colours, cells))
    return _table("Nodules", head, rows)


def _organ_table(organs: Sequence[Mapping[str, Any]], colours: Mapping[int, str]) -> str:
    head = ("Organ", "Volume, mL", "Mean \u00b1 SD, HU", "Largest piece", "Slices", "Cut off at")
    rows = []
    for one in organs:
        if not one["voxels"]:
            rows.append(_finding_row(one, colours, ("0", *["\u2013"] * 3, "not found")))
            continue
        slices = f"{one['first_slice_number_1based']}\u2013{one['last_slice_number_1based']}"
        cells = (
            number(one["volume_ml"], 1 if one["volume_ml"] < 100 else 0),
            f"{number(one['mean_hu'], 0)} \u00b1 {number(one['sd_hu'], 0)}",
            f"{100 * one['largest_component_share']:.1f} %",
            slices,
            ", ".join(one["touches_edge"]) or "\u2013",
        )
        rows.append(_finding_row(one, colours, cells))
    return _table("Organs", head, rows)


def _finding_row(one: Mapping[str, Any], colours: Mapping[int, str], cells: Iterable[str]) -> str:
    name = escape(one["name"])
    dot = swatch(colours[one["number"]])
    if one["voxels"]:
        label = f'<button type="button" data-jump="{one["number"]}">{dot}{name}</button>'
    else:
        label = f'<span class="absent">{dot}{name}</span>'
    data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr data-row="{one["number"]}"><th scope="row">{label}</th>{data}</tr>'


def _table(caption: str, head: Iterable[str], rows: Iterable[str]) -> str:
    columns = "".join(f'<th scope="col">{title}</th>' for title in head)
    return (
        f'<div class="scroller" role="region" aria-label="{caption}" tabindex="0"><table>'
        f"<caption>{caption}</caption><thead><tr>{columns}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def switches(segments: Sequence[Mapping[str, Any]]) -> str:
    """Return a switch for each segment that is somewhere in the mask.

    Args:
        segments: ``number``, ``name`` and ``colour`` of each.
    """
    if not segments:
        return '<li class="note">Nothing was segmented.</li>'
    items = []
    for place, one in enumerate(segments, start=1):
        key = f"<kbd>{place}</kbd>" if place <= 9 else ""
        items.append(
            f'<li><label><input type="checkbox" checked data-segment="{one["number"]}">'
            f"{swatch(one['colour'])}<span>{escape(one['name'])}</span></label>{key}</li>"
        )
    return "".join(items)


def swatch(colour: str) -> str:
    """Return a dot of a colour; not by a style attribute, which the page's own rules forbid."""
    return (
        f'<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true">'
        f'<rect width="12" height="12" rx="3" fill="{colour}"/></svg>'
    )


def number(value: float, decimals: int) -> str:
    """Write a number for people: a true minus sign, no negative zero, thousands apart.

    Example:
        >>> number(-0.04, 1), number(12345.6, 0)
        ('0.0', '12,346')
    """
    text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def _row(term: str, description: str) -> str:
    return f"<div><dt>{escape(term)}</dt><dd>{description}</dd></div>"


def _said(value: Any, tag: str = "") -> str:
    """Escape one value or several; "not stated" for none."""
    values = [value] if isinstance(value, str) else list(value or ())
    if not values:
        return f'<em class="unstated">{NOT_STATED}</em>'
    opening, closing = (f"<{tag}>", f"</{tag}>") if tag else ("", "")
    texts = [f"{opening}{escape(str(each))}{closing}" for each in values]
    return texts[0] if len(texts) == 1 else f"<ul>{''.join(f'<li>{t}</li>' for t in texts)}</ul>"
