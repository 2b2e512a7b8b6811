"""Series assembled from evaluated slices, which are kept compressed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.evaluation.figures.confusion import Mask
from scripts.evaluation.packed_slices import PackedArray, PackedConfidence
from scripts.volumes.geometry import world_to_index

logger = logging.getLogger(__name__)

Instances = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sphere:
    """A nodule or finding as it was listed.

    Args:
        diameter_mm: its diameter.
        centre_zyx: its centre as index (z, y, x) in the volume, with fractions; None if unknown.
        texture: group of its texture, see :mod:`scripts.datasets.ratings`; empty if unknown.
    """

    diameter_mm: float
    centre_zyx: tuple[float, float, float] | None = None
    texture: str = ""


@dataclass(frozen=True)
class EvaluatedSlices:
    """One evaluated case: a slice, or a whole volume as a stack of slices.

    Args:
        case: index in the list of cases.
        first_slice: index of the first slice in the volume.
        prediction: packed (N, Y, X) mask, or class values, of N consecutive slices.
        instances: packed (N, Y, X) map: 0 background, k = nodule k of the scan, or class k.
        spacing_mm: z, y, x.
        whole: whether it is the whole volume.
        affine_lps: (4, 4), index (x, y, z) in the volume to LPS mm; None if unknown.
        confidence: of each of the N slices; None if only the mask is known.
    """

    case: int
    first_slice: int
    prediction: PackedArray
    instances: PackedArray
    spacing_mm: tuple[float, float, float]
    whole: bool
    affine_lps: npt.NDArray[np.float64] | None = None
    confidence: tuple[PackedConfidence, ...] | None = None


@dataclass
class Series:
    """The evaluated slices of one CT series, in order; other slices may be missing in between.

    Args:
        uid: SeriesInstanceUID.
        patient: id of the patient, for grouping; never written to files.
        slices: (N,) indices in the volume, ascending.
        prediction: (N, Y, X) mask, or uint8 class values.
        instances: (N, Y, X): 0 background, k = nodule k, or class k.
        spacing_mm: z, y, x.
        cases: (N,) index of the case of each slice.
        nodules: id -> diameter and centre of the nodules that are listed with a diameter.
        excluded: findings that are neither nodules nor false positives.
        slices_in_volume: number of slices of the whole scan; None if unknown.
        duplicates: number of repeated evaluations of slices.
        contradictions: number of duplicates with a different prediction.
        affine_lps: (4, 4), index (x, y, z) in the volume to LPS mm; None if unknown.
        confidence: of each slice; None if only the masks are known.
    """

    uid: str
    patient: str
    slices: npt.NDArray[np.int64]
    prediction: Mask
    instances: Instances
    spacing_mm: tuple[float, float, float]
    cases: list[int]
    nodules: dict[int, Sphere] = field(default_factory=dict)
    excluded: tuple[Sphere, ...] = ()
    slices_in_volume: int | None = None
    duplicates: int = 0
    contradictions: int = 0
    affine_lps: npt.NDArray[np.float64] | None = None
    confidence: list[PackedConfidence] | None = None

    @property
    def is_whole(self) -> bool | None:
        """Whether every slice of the scan was evaluated; None if unknown."""
        if self.slices_in_volume is None:
            return None
        return len(self.slices) == self.slices_in_volume


def limited(series: Iterable[Series], samples: Iterable[Mapping[str, Any]]) -> Iterable[Series]:
    """Keep the slices of each series that are among the samples; series without any are left out.

    Args:
        series: evaluated series.
        samples: each with ``series_uid`` and ``slice`` (index in the LPS volume).
    """
    wanted: dict[str, set[int]] = {}
    for sample in samples:
        wanted.setdefault(str(sample["series_uid"]), set()).add(int(sample["slice"]))
    for one in series:
        rows = np.flatnonzero(np.isin(one.slices, sorted(wanted.get(one.uid, ()))))
        if len(rows):
            yield replace(
                one,
                slices=one.slices[rows],
                prediction=one.prediction[rows],
                instances=one.instances[rows],
                cases=[one.cases[row] for row in rows],
                confidence=one.confidence and [one.confidence[row] for row in rows],
            )


def assemble_series(
    items: Iterable[EvaluatedSlices],
    cases: Sequence[Mapping[str, Any]],
    *,
    dtype: type = bool,
) -> Iterable[Series]:
    """Group evaluated cases by series and stack their slices; one series in memory at a time.

    A slice that was evaluated more than once counts once. This happens if samples are split by
    nodule (a slice with two nodules is two samples), and if a distributed sampler repeats samples
    to fill its last batch. The prediction of the lowest case index is kept, and the nodules of all
    are merged. Contradicting predictions are counted and logged.

    Args:
        items: evaluated cases in any order.
        cases: cases with ``series_uid``, ``patient_id`` and, if known, ``nodules`` and
            ``slices_in_volume``.
        dtype: type of the predictions: bool for masks, numpy's uint8 for class values.

    Raises:
        ValueError: when the slices of a series differ in size or spacing.
    """
    groups: dict[str, list[EvaluatedSlices]] = {}
    for item in items:
        groups.setdefault(str(cases[item.case]["series_uid"]), []).append(item)
    for uid in sorted(groups):
        ordered = sorted(groups[uid], key=lambda item: item.case)
        yield _stack(uid, ordered, cases, dtype=dtype)


def _stack(
    uid: str,
    items: Sequence[EvaluatedSlices],
    cases: Sequence[Mapping[str, Any]],
    *,
    dtype: type,
) -> Series:
    """Stack the items of one series; duplicates are merged."""
    _check_agreement(uid, items)
    planes: dict[int, tuple[Any, Instances, int]] = {}
    duplicates = contradictions = 0
    for item in items:
        predicted: Any = item.prediction.unpack().astype(dtype)
        instances = item.instances.unpack()
        for row, index in enumerate(range(item.first_slice, item.first_slice + len(predicted))):
            if index not in planes:
                planes[index] = (predicted[row], instances[row], item.case)
                continue
            kept, known, case = planes[index]
            duplicates += 1
            contradictions += not np.array_equal(kept, predicted[row])
            planes[index] = (kept, np.where(known > 0, known, instances[row]), case)
    if contradictions:
        logger.warning(
            "%s: %d slices were evaluated twice with different predictions", uid, contradictions
        )
    order = sorted(planes)
    confidences = [_confidence_at(items, planes[index][2], index) for index in order]
    whole = any(item.whole for item in items)
    facts = [cases[item.case] for item in items]
    affine = next((item.affine_lps for item in items if item.affine_lps is not None), None)
    counts = [int(fact["slices_in_volume"]) for fact in facts if fact.get("slices_in_volume")]
    return Series(
        uid=uid,
        patient=str(facts[0]["patient_id"]),
        slices=np.array(order, np.int64),
        prediction=np.stack([planes[index][0] for index in order]),
        instances=np.stack([planes[index][1] for index in order]),
        spacing_mm=items[0].spacing_mm,
        cases=[planes[index][2] for index in order],
        nodules=_nodules(facts, affine),
        excluded=_excluded(facts, affine),
        slices_in_volume=len(order) if whole else next(iter(counts), None),
        duplicates=duplicates,
        contradictions=contradictions,
        affine_lps=affine,
        confidence=None if None in confidences else [one for one in confidences if one],
    )


def _confidence_at(
    items: Sequence[EvaluatedSlices], case: int, index: int
) -> PackedConfidence | None:
    """Return the confidence of a slice of the volume, as a case has it."""
    item = next(item for item in items if item.case == case)
    return None if item.confidence is None else item.confidence[index - item.first_slice]


def _check_agreement(uid: str, items: Sequence[EvaluatedSlices]) -> None:
    """Check that slices have one size and spacing."""
    first = items[0]
    for item in items[1:]:
        same_size = item.prediction.shape[1:] == first.prediction.shape[1:]
        if not same_size or not np.allclose(item.spacing_mm, first.spacing_mm, rtol=1e-4):
            raise ValueError(
                f"cases: the slices of series {uid} must have one size and spacing, case "
                f"{first.case} has {first.prediction.shape[1:]} at {first.spacing_mm} mm, case "
                f"{item.case} has {item.prediction.shape[1:]} at {item.spacing_mm} mm; "
                "do not crop or resize slices in evaluation"
            )


def _nodules(facts: Sequence[Mapping[str, Any]], affine: Any) -> dict[int, Sphere]:
    """Collect the listed nodules of a series."""
    return {
        int(nodule["id"]): _sphere(nodule, affine)
        for fact in facts
        for nodule in fact.get("nodules", ())
        if nodule.get("diameter_mm") is not None
    }


def _excluded(facts: Sequence[Mapping[str, Any]], affine: Any) -> tuple[Sphere, ...]:
    """Collect the excluded findings of a series, which every case of it lists."""
    listed = next((fact["excluded"] for fact in facts if fact.get("excluded")), ())
    if listed and affine is None:
        raise ValueError(
            "cases: excluded findings need affine_lps, which places them in the volume; prepare "
            "the data again"
        )
    return tuple(_sphere(finding, affine) for finding in listed)


def _sphere(listed: Mapping[str, Any], affine: Any) -> Sphere:
    centre_mm, diameter_mm = listed.get("centre_lps_mm"), float(listed["diameter_mm"])
    texture = str(listed.get("texture", ""))
    if centre_mm is None or affine is None:
        return Sphere(diameter_mm, texture=texture)
    x, y, z = world_to_index(centre_mm, affine).tolist()
    return Sphere(diameter_mm, (z, y, x), texture)
