"""Measurements: size, density and position of each lesion, volume and density of each organ."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.prediction.measures.axial_view import AxialView, axial_view
from scripts.prediction.measures.diameters import measure_diameters
from scripts.prediction.measures.lung_sides import UNKNOWN, LungSides
from scripts.prediction.members.agreement import AGREEMENT
from scripts.prediction.network.segments import component_sizes
from scripts.prediction.result import DICOM_OBJECTS, SECOND_STAGE, Prediction, Segment
from scripts.storage.files import write_csv, write_json
from scripts.volumes.geometry import Floats, index_to_world

DECIMALS = 4
DEFINITIONS = {
    "volume": "number of voxels times the volume of a voxel",
    "longest_axial_diameter": "greatest distance between two points of the outline in an axial "
    "slice, in the slice where it is greatest; the outline runs half way between the centres of "
    "voxels inside and outside; the error is at most about one voxel diagonal, and round lesions "
    "are three quarters of a voxel edge too long on average",
    "perpendicular_axial_diameter": "longest line at a right angle to it in the same slice",
    "mean_hu, sd_hu": "over all voxels inside; sd of the population",
    "centre": "mean position of the voxels in mm, patient coordinates: x to the left, y to the "
    "back, z to the head (LPS)",
    "slice_index_0based": "index along the axis of the source that is nearest to the body's long "
    "axis, the slice axis of axial series; slice_number_1based is one more",
    "lung_side": "the patient's left or right lung; unknown outside the lungs, for lesions of "
    "another organ, or if the side is not clear",
    "lung_third": "upper, middle or lower third of the height of that lung, not a lobe; unknown if "
    "the side is, or if the scan cuts that lung off",
    "largest_component_share": "share of the volume in the largest component; voxels are joined by "
    "faces",
    "touches_edge": "sides of the scanned volume that it reaches, where it may be cut off",
    "probability": "the highest probability that the network gives a voxel inside, from 0 to 1; "
    "mean_probability: over all voxels inside. After a second stage, the probability that it gives "
    "the lesion. Confidence of the network, not a risk of disease",
}
CSV_COLUMNS = (
    *("number", "kind", "name", "voxels", "volume_mm3", "volume_ml", "mean_hu", "sd_hu"),
    *("longest_axial_diameter_mm", "perpendicular_axial_diameter_mm"),
    *("diameter_slice_index_0based", "diameter_slice_number_1based"),
    *("centre_x_lps_mm", "centre_y_lps_mm", "centre_z_lps_mm"),
    *("centre_slice_index_0based", "centre_slice_number_1based"),
    *("first_slice_number_1based", "last_slice_number_1based"),
    *("lung_side", "lung_third", "largest_component_share", "touches_edge"),
    *("probability", "mean_probability"),
)
MEMBER_COLUMNS = ("members_share", "members_dice")  # of several networks or flips
MEMBER_DEFINITIONS = {
    "agreement": "mean Dice over all pairs of members (networks, each with every flip), of the "
    "mask that each gives by itself, at the threshold of the result, before a second stage: of "
    "each kind, and mean_pairwise_dice over the kinds; two empty masks agree fully (1), an empty "
    "one and another one not at all (0). members_share: share of the members that mark a voxel of "
    "the lesion; members_dice: the mean Dice of its kind",
}
SUSPICION_COLUMNS = ("suspicion", "suspicion_model")  # with predict --suspicion
DICOM_COLUMNS = ("dicom_segment",)  # with DICOM objects

Box = tuple[slice, ...]


def measure(prediction: Prediction) -> dict[str, Any]:
    """Measure every segment.

    Returns:
        Content for JSON, without NaN: ``study``, ``scan`` (size and slices), ``looked_for``
        (kinds), ``lesion_kinds``, ``lesions``, ``organs`` (all others) and ``definitions``. Units
        are in the keys; points are LPS mm. An organ that was not found has 0 mL, and null for
        undefined figures. A lesion without a voxel is not listed.

    Raises:
        ValueError: for geometry that :func:`scripts.volumes.geometry.check_affine` refuses.
    """
    view = axial_view(prediction.affine, prediction.hu.shape)
    hu, mask = view.turn(prediction.hu), view.turn(prediction.mask)
    boxes = ndimage.find_objects(mask, max((s.number for s in prediction.segments), default=0))
    counted = [segment for segment in prediction.segments if segment.lesion]
    lesions = [segment for segment in counted if boxes[segment.number - 1]]
    kinds = {segment.kind for segment in lesions if prediction.is_of_lungs(segment.kind)}
    sides = None
    if kinds and prediction.lungs is not None:
        sides = LungSides(view.turn(prediction.lungs), view.affine)
    return {
        "study": prediction.study,
        "scan": _scan(view, hu.shape),
        "looked_for": _kinds(prediction, "looked_for", prediction.segments),
        "lesion_kinds": _kinds(
            prediction, "lesion_kinds", [s for s in prediction.segments if s.lesion]
        ),
        "lesions": [
            _lesion(s, hu, mask, view, boxes[s.number - 1], sides if s.kind in kinds else None)
            for s in lesions
        ],
        "organs": [
            _organ(s, hu, mask, view, boxes[s.number - 1])
            for s in prediction.segments
            if not s.lesion
        ],
        **{
            name: prediction.facts[name]
            for name in (SECOND_STAGE, AGREEMENT)
            if name in prediction.facts
        },
        "definitions": {
            **DEFINITIONS,
            **(MEMBER_DEFINITIONS if AGREEMENT in prediction.facts else {}),
        },
    }


def write_statistics(statistics: dict[str, Any], folder: str | Path) -> None:
    """Write statistics.json and statistics.csv (one row per segment), whole or not at all.

    Args:
        statistics: of :func:`measure`.
        folder: created if it does not exist.
    """
    write_json(Path(folder) / "statistics.json", statistics)
    measured = (*statistics["lesions"], *statistics["organs"])
    with_dicom = DICOM_COLUMNS if DICOM_OBJECTS in statistics else ()
    columns = [*CSV_COLUMNS, *with_dicom]
    rows = [csv_row(one) | {column: one[column] for column in with_dicom} for one in measured]
    if AGREEMENT in statistics:
        columns += MEMBER_COLUMNS
        for row, one in zip(rows, measured, strict=True):
            values = one.get("members_share"), statistics[AGREEMENT]["dice"][one["kind"]]
            row |= dict(zip(MEMBER_COLUMNS, values, strict=True))
    if "suspicion" in statistics:
        columns += SUSPICION_COLUMNS
        for row, one in zip(rows, measured, strict=True):
            values = one.get("suspicion"), statistics["suspicion"]["model"]
            row |= dict(zip(SUSPICION_COLUMNS, values, strict=True))
    write_csv(Path(folder) / "statistics.csv", rows, columns=columns)


def csv_row(measured: dict[str, Any]) -> dict[str, Any]:
    """Return the CSV cells of one lesion or organ; those that do not apply are empty."""
    flat = {**measured, "touches_edge": " ".join(measured["touches_edge"])}
    if "volume_mm3" in measured:
        flat["volume_ml"] = _rounded(measured["volume_mm3"] / 1000)
    else:
        flat["volume_mm3"] = _rounded(measured["volume_ml"] * 1000)
    for name, value in zip("xyz", measured.get("centre_lps_mm", ()), strict=False):
        flat[f"centre_{name}_lps_mm"] = value
    return {column: flat.get(column) for column in CSV_COLUMNS}


def _kinds(prediction: Prediction, fact: str, segments: Iterable[Segment]) -> list[str]:
    """List kinds: those that a fact of the prediction names, then those of the segments."""
    kinds = [*prediction.facts.get(fact, ()), *(segment.kind for segment in segments)]
    return list(dict.fromkeys(kinds))


def _scan(view: AxialView, shape: tuple[int, ...]) -> dict[str, Any]:
    """Describe the grid of the slice numbers."""
    slice_mm, row_mm, column_mm = view.spacing_mm
    return {
        "slices": shape[0],
        "rows": shape[1],
        "columns": shape[2],
        "slice_spacing_mm": _rounded(slice_mm),
        "row_spacing_mm": _rounded(row_mm),
        "column_spacing_mm": _rounded(column_mm),
        "slice_axis_of_source": view.axes[0],
        "slice_numbers_rise_to": "head" if view.rises_to_head else "feet",
    }


def _lesion(
    segment: Segment,
    hu: NDArray[np.int16],
    mask: NDArray[Any],
    view: AxialView,
    box: Box,
    sides: LungSides | None,
) -> dict[str, Any]:
    """Measure one lesion."""
    inside = mask[box] == segment.number
    start = np.array([part.start for part in box])
    _, row_mm, column_mm = view.spacing_mm
    diameters = measure_diameters(inside, row_mm, column_mm, first_slice=int(start[0]))
    middle = _middle(inside) + start
    centre = index_to_world(middle[::-1], view.affine)
    return {
        **_common(segment, inside, hu[box]),
        "volume_mm3": _rounded(int(inside.sum()) * _voxel_mm3(view)),
        "longest_axial_diameter_mm": _rounded(diameters.longest_mm),
        "perpendicular_axial_diameter_mm": _rounded(diameters.perpendicular_mm),
        "diameter_slice_index_0based": diameters.slice_index,
        "diameter_slice_number_1based": diameters.slice_index + 1,
        "longest_ends_lps_mm": _ends(diameters.longest_ends, start, diameters.slice_index, view),
        "perpendicular_ends_lps_mm": _ends(
            diameters.perpendicular_ends, start, diameters.slice_index, view
        ),
        "centre_lps_mm": [_rounded(value) for value in centre],
        # half-way is rounded up: round() would take the even slice
        "centre_slice_index_0based": int(np.floor(middle[0] + 0.5)),
        "centre_slice_number_1based": int(np.floor(middle[0] + 0.5)) + 1,
        "first_slice_number_1based": box[0].start + 1,
        "last_slice_number_1based": box[0].stop,
        "lung_side": sides.side_of(centre) if sides else UNKNOWN,
        "lung_third": sides.third_of(centre) if sides else UNKNOWN,
        "touches_edge": _edges(box, mask.shape, view),
        "probability": _known(segment.probability),
        "mean_probability": _known(segment.mean_probability),
        **(
            {}
            if segment.members_share is None
            else {"members_share": _rounded(segment.members_share)}
        ),
    }


def _organ(
    segment: Segment, hu: NDArray[np.int16], mask: NDArray[Any], view: AxialView, box: Box | None
) -> dict[str, Any]:
    """Measure one organ, found or not."""
    if box is None:
        undefined = dict.fromkeys(("mean_hu", "sd_hu", "largest_component_share"))
        slices = dict.fromkeys(("first_slice_number_1based", "last_slice_number_1based"))
        head = {"number": segment.number, "kind": segment.kind, "name": segment.name, "voxels": 0}
        return {**head, "volume_ml": 0.0, **undefined, **slices, "touches_edge": []}
    inside = mask[box] == segment.number
    labels, count = ndimage.label(inside)
    sizes = component_sizes(labels, count)
    return {
        **_common(segment, inside, hu[box]),
        "volume_ml": _rounded(int(inside.sum()) * _voxel_mm3(view) / 1000),
        "largest_component_share": _rounded(sizes.max() / sizes.sum()),
        "first_slice_number_1based": box[0].start + 1,
        "last_slice_number_1based": box[0].stop,
        "touches_edge": _edges(box, mask.shape, view),
    }


def _common(segment: Segment, inside: NDArray[np.bool_], hu: NDArray[np.int16]) -> dict[str, Any]:
    values = hu[inside]
    return {
        "number": segment.number,
        "kind": segment.kind,
        "name": segment.name,
        "voxels": int(inside.sum()),
        "mean_hu": _rounded(values.mean(dtype=np.float64)),
        "sd_hu": _rounded(values.std(dtype=np.float64)),
    }


def _middle(inside: NDArray[np.bool_]) -> Floats:
    """Return the mean index of the voxels, (slice, row, column), in less memory than a list."""
    others = ((1, 2), (0, 2), (0, 1))
    counts = [np.count_nonzero(inside, axis=axes) for axes in others]
    return np.array([np.arange(len(one)) @ one / one.sum() for one in counts])


def _ends(
    ends: Floats, start: NDArray[np.int64], number: int, view: AxialView
) -> list[list[float]]:
    """Convert two points, (row, column) in a box, to LPS mm."""
    points = [(column + start[2], row + start[1], number) for row, column in ends]
    return [[_rounded(value) for value in point] for point in index_to_world(points, view.affine)]


def _edges(box: Box, shape: tuple[int, ...], view: AxialView) -> list[str]:
    """Name the sides of the volume that a box reaches, in anatomical terms."""
    low, high = ("feet", "head") if view.rises_to_head else ("head", "feet")
    names = (low, high), ("front", "back"), ("right", "left")
    return [
        name
        for part, size, (first, last) in zip(box, shape, names, strict=True)
        for name, reached in ((first, part.start == 0), (last, part.stop == size))
        if reached
    ]


def _voxel_mm3(view: AxialView) -> float:
    return float(abs(np.linalg.det(view.affine[:3, :3])))


def _known(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 6)


def _rounded(value: float) -> float:
    """Round for a file; no negative zero."""
    return round(float(value), DECIMALS) + 0.0
