"""The texts of report.html: description of the model, definitions, and tables of findings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scripts.pages.report_page import Row
from scripts.prediction.measures.lung_sides import UNKNOWN
from scripts.prediction.members.agreement import AGREEMENT
from scripts.prediction.report.appearance import lesion_word, plural
from scripts.prediction.result import DICOM_OBJECTS

MINUS = "\u2212"
DASH = "\u2013"
LIMITS = (
    "Diagnosis, treatment, screening or any other decision about a patient: this is not a medical "
    "device. Outlines and figures can be wrong, findings can be missed; a reader must check them."
)
DICOM_SEGMENT = "dicom_segment"
TERMS = {
    "volume": "Volume",
    "longest_axial_diameter": "Longest diameter",
    "perpendicular_axial_diameter": "Perpendicular",
    "mean_hu, sd_hu": "Mean and SD",
    "centre": "Centre",
    "slice_index_0based": "Slice",
    "lung_side": "Lung",
    "lung_third": "Third of the lung",
    "largest_component_share": "Largest component",
    "touches_edge": "Cut off at",
    "probability": "Confidence",
    "agreement": "Agreement",
    "suspicion": "Suspicion",
    DICOM_SEGMENT: "Segment in DICOM",
}


class Cell(NamedTuple):
    """A text of a table, and what it is sorted by if that is not the text itself; "" is last."""

    text: str
    value: float | str | None = None


class Finding(NamedTuple):
    """One row of a table: a lesion or an organ, which may be absent from the mask."""

    number: int
    kind: str
    name: str
    present: bool
    cells: Sequence[Cell]
    confidence: float | None = None


class Table(NamedTuple):
    """A table of findings."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Finding]


def facts_rows(facts: Mapping[str, Any]) -> list[Row]:
    """Describe the model, its training data and its limits.

    Args:
        facts: of the prediction: ``metadata`` (the bundle's metadata.json) or else ``bundle`` and
            ``version`` (texts), and ``weights_sha256`` (one or several hashes).
    """
    bundle = facts.get("bundle")
    metadata = facts.get("metadata") or (bundle if isinstance(bundle, Mapping) else {})
    name = metadata.get("name") or (bundle if isinstance(bundle, str) else None)
    return [
        Row("Model", _listed(name)),
        Row("Version", _listed(metadata.get("version") or facts.get("version"))),
        Row("Weights (SHA-256)", _listed(facts.get("weights_sha256")), code=True),
        Row("Trained on", _listed(metadata.get("data_source"))),
        Row("Intended use", _listed(metadata.get("intended_use"))),
        Row("Must not be used for", [LIMITS]),
        *_agreement(facts.get(AGREEMENT)),
        Row("Task", _listed(metadata.get("task"))),
        Row("Description", _listed(metadata.get("description"))),
        Row("References", _listed(metadata.get("references"))),
    ]


def _agreement(record: Mapping[str, Any] | None) -> list[Row]:
    """State how far the members agree; nothing of a single network without flips."""
    if record is None:
        return []
    value = f"mean pairwise Dice {record['mean_pairwise_dice']:.3f}"
    limit = (
        str(record["note"])
        if record["flagged"] is None
        else f"limit {record['limit']:.3f} of {record['calibration_cases']} calibration scans"
    )
    return [Row(f"Agreement of {len(record['members'])} members", [f"{value}; {limit}"])]


def definition_rows(statistics: Mapping[str, Any], *, with_side: bool) -> list[Row]:
    """List the definitions of the figures that the tables show.

    Those of the lung only ``with_side``, that of the number in DICOM only if it may be another one.
    """
    hidden = {
        *(() if with_side else ("lung_side", "lung_third")),
        *(() if _renumbered(statistics) else (DICOM_SEGMENT,)),
    }
    definitions = statistics["definitions"].items()
    return [Row(TERMS.get(key, key), [text]) for key, text in definitions if key not in hidden]


def _renumbered(statistics: Mapping[str, Any]) -> bool:
    """Whether segments have other numbers in the DICOM objects, as some lesions are left out."""
    return bool(statistics.get(DICOM_OBJECTS, {}).get("lesions_left_out"))


def _in_dicom(one: Mapping[str, Any]) -> Cell:
    """Return the number of a segment in the DICOM objects."""
    value = one[DICOM_SEGMENT]
    return Cell("left out", "") if value is None else Cell(str(value), value)


def tables(statistics: dict[str, Any], *, with_side: bool) -> list[Table]:
    """Return the tables of lesions and organs that have rows.

    Args:
        statistics: of :func:`scripts.prediction.measures.statistics.measure`.
        with_side: whether the table of lesions has a column for the left or right lung.
    """
    both = _lesion_table(statistics, with_side=with_side), _organ_table(statistics)
    return [table for table in both if table.rows]


def _lesion_table(statistics: dict[str, Any], *, with_side: bool) -> Table:
    word = lesion_word(statistics).capitalize()
    with_confidence = any(one["probability"] is not None for one in statistics["lesions"])
    with_suspicion = "suspicion" in statistics
    head = (
        *(word, "Longest diameter, mm", "Perpen\u00addicular, mm", "Volume, mm\u00b3"),
        *(["Confidence"] if with_confidence else []),
        *(["Suspicion (0\u20131), no diagnosis"] if with_suspicion else []),
        *("Mean \u00b1 SD, HU", *(["Lung"] if with_side else [])),
        *("Slice", "Centre x, y, z, mm (LPS)"),
        *(["Members that mark it"] if AGREEMENT in statistics else []),
        *([TERMS[DICOM_SEGMENT]] if _renumbered(statistics) else []),
    )
    rows = [
        Finding(
            one["number"],
            one["kind"],
            one["name"],
            bool(one["voxels"]),
            (
                _number_cell(one["longest_axial_diameter_mm"], 1),
                _number_cell(one["perpendicular_axial_diameter_mm"], 1),
                _number_cell(one["volume_mm3"], 0),
                *([_confidence(one["probability"])] if with_confidence else []),
                *([_number_cell(one["suspicion"], 2)] if with_suspicion else []),
                _mean_and_sd(one),
                *([_side(one)] if with_side else []),
                Cell(str(one["diameter_slice_number_1based"])),
                _centre(one),
                *([_members(one, statistics)] if AGREEMENT in statistics else []),
                *([_in_dicom(one)] if _renumbered(statistics) else []),
            ),
            one["probability"],
        )
        for one in statistics["lesions"]
    ]
    return Table(plural(word), head, rows)


def _confidence(probability: float | None) -> Cell:
    return (
        Cell(DASH, "") if probability is None else Cell(confidence_text(probability), probability)
    )


def confidence_text(probability: float) -> str:
    """Return a probability in per cent; never 100 % unless it is 1.

    Example:
        >>> confidence_text(0.99999), confidence_text(1)
        ('99.9 %', '100.0 %')
    """
    return f"{math.floor(1000 * probability) / 10:.1f} %"


def _members(one: Mapping[str, Any], statistics: Mapping[str, Any]) -> Cell:
    """Return how many members mark a lesion."""
    count, share = len(statistics[AGREEMENT]["members"]), one.get("members_share")
    return Cell(DASH, "") if share is None else Cell(f"{round(share * count)} of {count}", share)


def _side(one: Mapping[str, Any]) -> Cell:
    """Return the lung, and its third if it is known."""
    side, third = one["lung_side"], one["lung_third"]
    if side == UNKNOWN:
        return Cell(DASH, "")
    return Cell(side if third == UNKNOWN else f"{side} {third} third")


def _centre(one: Mapping[str, Any]) -> Cell:
    """Return a position, sorted from the feet to the head."""
    centre = one["centre_lps_mm"]
    return Cell(", ".join(number(value, 1) for value in centre), centre[2])


def _organ_table(statistics: Mapping[str, Any]) -> Table:
    dice = statistics[AGREEMENT]["dice"] if AGREEMENT in statistics else {}
    head = (
        "Organ",
        "Volume, mL",
        "Mean \u00b1 SD, HU",
        "Largest component",
        "Slices",
        "Cut off at",
        *(["Dice between members"] if dice else []),
        *([TERMS[DICOM_SEGMENT]] if _renumbered(statistics) else []),
    )
    rows = [
        Finding(
            one["number"],
            one["kind"],
            one["name"],
            bool(one["voxels"]),
            (
                *(_organ_cells(one) if one["voxels"] else _absent_cells()),
                *([_number_cell(dice[one["kind"]], 2)] if dice else []),
                *([_in_dicom(one)] if _renumbered(statistics) else []),
            ),
        )
        for one in statistics["organs"]
    ]
    return Table("Organs", head, rows)


def _absent_cells() -> tuple[Cell, ...]:
    return (_number_cell(0, 0), *([Cell(DASH, "")] * 3), Cell("not found"))


def _organ_cells(one: Mapping[str, Any]) -> tuple[Cell, ...]:
    share = one["largest_component_share"]
    slices = f"{one['first_slice_number_1based']}{DASH}{one['last_slice_number_1based']}"
    return (
        _number_cell(one["volume_ml"], 1 if one["volume_ml"] < 100 else 0),
        _mean_and_sd(one),
        Cell(f"{100 * share:.1f} %", share),
        Cell(slices, one["first_slice_number_1based"]),
        Cell(", ".join(one["touches_edge"])) if one["touches_edge"] else Cell(DASH, ""),
    )


def _mean_and_sd(one: Mapping[str, Any]) -> Cell:
    text = f"{number(one['mean_hu'], 0)} \u00b1 {number(one['sd_hu'], 0)}"
    return Cell(text, one["mean_hu"])


def _number_cell(value: float | None, decimals: int) -> Cell:
    return Cell(DASH, "") if value is None else Cell(number(value, decimals), value)


def number(value: float, decimals: int) -> str:
    """Format a number: a true minus sign, no negative zero, separators of thousands.

    Example:
        >>> number(-0.04, 1), number(12345.6, 0)
        ('0.0', '12,346')
    """
    text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def _listed(value: Any) -> list[str]:
    """Return one value or several as texts."""
    return [str(each) for each in ([value] if isinstance(value, str) else value or ())]
