"""Panels of overview.png: choice of slices, visible part, titles and captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.evaluation.pictures.drawing import Panel
from scripts.prediction.measures.axial_view import AxialView
from scripts.prediction.result import Prediction
from scripts.prediction.writing.colours import colours_of
from scripts.volumes.boxes import box_of
from scripts.volumes.geometry import Floats, world_to_index

LESIONS_SHOWN = 12
AXIAL_SLICES = 5


@dataclass(frozen=True)
class Label:
    """The text next to a lesion.

    Attributes:
        number: of the segment.
        text: number of the lesion within its class.
        x_mm, y_mm: position, from the slice's outer corner.
    """

    number: int
    text: str
    x_mm: float
    y_mm: float


@dataclass(frozen=True)
class LesionPanel:
    """A lesion in the slice of its longest diameter.

    Attributes:
        panel: the slice with the segment numbers of all its lesions; this lesion is magnified.
        diameters_mm: (2, 2, 2), the ends (x, y) of the longest diameter and its perpendicular,
            in mm from the slice's outer corner.
        labels: one per lesion of the slice.
    """

    panel: Panel
    diameters_mm: Floats
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class OrganPanel:
    """Organs in one slice; in coronal slices the head is on top."""

    panel: Panel
    coronal: bool


def lesion_panels(
    prediction: Prediction, view: AxialView, statistics: dict[str, Any]
) -> list[LesionPanel]:
    """Return one panel per lesion, at most the :data:`LESIONS_SHOWN` largest by volume."""
    lesions = sorted(statistics["lesions"], key=lambda n: (-n["volume_mm3"], n["number"]))
    shown = sorted(lesions[:LESIONS_SHOWN], key=lambda n: n["number"])
    return [_lesion_panel(one, prediction, view, statistics) for one in shown]


def _lesion_panel(
    one: dict[str, Any], prediction: Prediction, view: AxialView, statistics: dict[str, Any]
) -> LesionPanel:
    at = one["diameter_slice_index_0based"]
    values = view.turn(prediction.mask)[at]
    spacing = view.spacing_mm[1:]
    others = {n["number"]: n for n in statistics["lesions"]}
    side = "" if one["lung_side"] == "unknown" else f" · {one['lung_side']} lung"
    longest, across = one["longest_axial_diameter_mm"], one["perpendicular_axial_diameter_mm"]
    panel = Panel(
        view.turn(prediction.hu)[at],
        np.where(np.isin(values, list(others)), values, 0),
        None,
        spacing,
        title=f"{one['name']} · {longest:.1f} \u00d7 {across:.1f} mm",
        caption=f"slice {at + 1} of {statistics['scan']['slices']}{side} · "
        f"{one['volume_mm3']:,.0f} mm³ · mean {one['mean_hu']:.0f} HU",
        focus=values == one["number"],
    )
    ends = [one["longest_ends_lps_mm"], one["perpendicular_ends_lps_mm"]]
    index = world_to_index(ends, view.affine)[..., :2]
    diameters_mm = (index + 0.5) * np.array(spacing[::-1])
    return LesionPanel(panel, diameters_mm, _labels(values, others, spacing))


def _labels(
    values: NDArray[Any], lesions: dict[int, dict[str, Any]], spacing: tuple[float, float]
) -> tuple[Label, ...]:
    """Put a lesion's number at the upper right of its box."""
    labels = []
    for number in (n for n in np.unique(values).tolist() if n in lesions):
        rows, columns = box_of(values == number)
        text = lesions[number]["name"].removeprefix(lesions[number]["kind"]).strip()
        x_mm, y_mm = (columns.stop + 1) * spacing[1], (rows.start - 1) * spacing[0]
        labels.append(Label(number, text, x_mm, y_mm))
    return tuple(labels)


def organ_panels(
    prediction: Prediction, view: AxialView, statistics: dict[str, Any]
) -> list[OrganPanel]:
    """Return axial slices spread over the organs, from the head down, and a coronal slice.

    In the choice of slices every organ has the same weight, regardless of its size.
    """
    values = view.turn(_palette_values(prediction))
    by_slice, by_row = np.zeros(values.shape[0]), np.zeros(values.shape[1])
    for value in np.unique(values)[1:]:
        counts = (values == value).sum(axis=2)
        by_slice += counts.sum(axis=1) / counts.sum()
        by_row += counts.sum(axis=0) / counts.sum(axis=0).max()  # a row that shows all
    if not by_slice.any():
        return []
    hu = view.turn(prediction.hu)
    panels = [
        OrganPanel(_axial_panel(hu[k], values[k], view, _position(k, statistics)), coronal=False)
        for k in _spread(by_slice / by_slice.sum(), view)
    ]
    row = int(np.argmax(by_row))
    top_first = slice(None, None, -1 if view.rises_to_head else 1)
    coronal = values[top_first, row]
    spacing = view.spacing_mm[0], view.spacing_mm[2]
    words = f"row {row + 1} of {hu.shape[1]} from the front"
    panel = Panel(hu[top_first, row], coronal, coronal, spacing, "coronal", words)
    return [*panels, OrganPanel(panel, coronal=True)]


def plain_panels(
    prediction: Prediction, view: AxialView, statistics: dict[str, Any]
) -> list[OrganPanel]:
    """Return three slices without outlines, for a scan without findings."""
    hu = view.turn(prediction.hu)
    empty = np.zeros(hu.shape[1:], np.uint8)
    slices = _spread(np.full(len(hu), 1 / len(hu)), view, count=3)
    return [
        OrganPanel(_axial_panel(hu[k], empty, view, _position(k, statistics)), coronal=False)
        for k in slices
    ]


def _organ_colours(prediction: Prediction) -> dict[int, str]:
    organs = {segment.number for segment in prediction.segments if not segment.lesion}
    return {n: c for n, c in colours_of(prediction).items() if n in organs}


def organ_palette(prediction: Prediction) -> list[str]:
    """Return the distinct colours of the organs; the values of organ panels index them from 1."""
    return list(dict.fromkeys(_organ_colours(prediction).values()))


def _palette_values(prediction: Prediction) -> NDArray[np.uint8]:
    """Return (Z, Y, X): index of each organ's colour in the palette, from 1; 0 elsewhere."""
    table = np.zeros(int(prediction.mask.max()) + 1, np.uint8)
    palette = organ_palette(prediction)
    for number, colour in _organ_colours(prediction).items():
        if number < len(table):
            table[number] = palette.index(colour) + 1
    return np.asarray(table[prediction.mask])


def _spread(weights: Floats, view: AxialView, *, count: int = AXIAL_SLICES) -> list[int]:
    """Return slices at equal shares of the cumulative weight, those nearest the head first."""
    shares = (np.arange(count) + 0.5) / count
    slices = sorted(set(np.searchsorted(np.cumsum(weights), shares).tolist()))
    return slices[::-1] if view.rises_to_head else slices


def _position(k: int, statistics: dict[str, Any]) -> str:
    return f"slice {k + 1} of {statistics['scan']['slices']}"


def _axial_panel(
    hu: NDArray[np.int16], values: NDArray[np.uint8], view: AxialView, words: str
) -> Panel:
    return Panel(hu, values, values, view.spacing_mm[1:], "axial", words)
