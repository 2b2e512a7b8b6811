"""Warnings of results that are implausible, and of scans unlike those of the training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from scipy import ndimage

from scripts.bundle.training_scans import CONTROL, TrainingScans, voxel_id
from scripts.prediction.measures.axial_view import axial_view
from scripts.prediction.result import Prediction, Segment
from scripts.prediction.sources.inventory import Source
from scripts.volumes.volume import hash_of_voxels, turned
from scripts.volumes.volume_files import VOLUME_SUFFIXES

MANY_LESIONS = 30
"""Of one kind: the 601 scans of LUNA16 with nodules have 1,186, two each; many more are vessels."""
NODULE_MM = 60.0
"""Twice the 30 mm from which on a nodule is called a mass (Bankier et al., Fleischner Society:
glossary of terms for thoracic imaging, Radiology 2024); outlines of vague ones reach further."""
LESION_MM = 200.0
"""Of other lesions: more than the width of half a body."""
LESION_SHARE = 0.1
"""Of the scanned volume, all lesions of a kind together: 4 of 40 litres of a chest."""
ORGAN_SHARE = 0.5
"""Of the scanned volume, half of which is air around the body as a rule."""
ORGAN_ML = {
    "liver": (300.0, 5000.0),
    "kidney": (40.0, 1500.0),
    "kidneys": (40.0, 1500.0),
    "spleen": (20.0, 3000.0),
    "pancreas": (10.0, 500.0),
    "lung": (300.0, 10000.0),
    "lungs": (300.0, 10000.0),
    "heart": (150.0, 3000.0),
    "bone": (0.0, 15000.0),
    "bones": (0.0, 15000.0),
}
"""Least and largest volume: from a fifth to three times what is usual in adults (liver 1.5 l, both
kidneys 0.4 l, spleen 0.2 l, pancreas 0.1 l, both lungs 3 to 6 l, heart 0.7 l; ICRP 89), so that
children and common enlargements stay inside. The least holds for organs inside the scan."""

LESION = re.compile(r"nodul|tumou?r|lesion|cyst|metasta|cancer|carcinoma|mass|embol", re.IGNORECASE)
"""Classes that a healthy scan has none of, also where the bundle does not number them."""


def warnings_of(
    trained_on: Sequence[TrainingScans], prediction: Prediction, names: Sequence[str]
) -> list[str]:
    """List what a reader of a result should know, each once.

    Args:
        trained_on: of each network.
        prediction: the result.
        names: ids and names of the scan, see :func:`names_of`; its voxels are compared too.
    """
    if any(scans.cases or scans.validation for scans in trained_on):
        names = [*names, id_of_voxels(prediction)]
    distance, *pixels = axial_view(prediction.affine, prediction.hu.shape).spacing_mm
    warnings = []
    for scans in trained_on:
        warnings += scans.spacing_warnings([(max(pixels), distance)])
        if scans.is_control:
            warnings.append(CONTROL)
        if scans.includes(names):
            warnings.append(
                "the network was trained on this scan: the result says nothing about other scans"
            )
        elif scans.was_selected_by(names):
            warnings.append(
                "the network was selected by its result on this scan (validation): other scans "
                "may be segmented worse"
            )
    return list(dict.fromkeys([*warnings, *implausible(prediction)]))


def names_of(source: Source, prediction: Prediction) -> list[str]:
    """Return the ids under which a scan may have been prepared: UID, names of file and folder."""
    names = [source.name]
    for one in prediction.dicom_slices[:1]:
        names.append(str(one.header.get("SeriesInstanceUID", "")))
    for file in source.files[:1]:
        path = PurePath(*file.parts)
        name = path.name
        suffix = next((s for s in VOLUME_SUFFIXES if name.lower().endswith(s)), "")
        names += [name.removesuffix(name[len(name) - len(suffix) :] or " "), path.parent.name]
    return [name for name in names if name]


def id_of_voxels(prediction: Prediction) -> str:
    """Return the id that a preparation gives the scan by its voxels, whatever its name."""
    return voxel_id(hash_of_voxels(turned(prediction.hu, prediction.affine)))


def implausible(prediction: Prediction) -> list[str]:
    """Compare number, extent and volume of the segments with what bodies have."""
    numbers = np.bincount(prediction.mask.ravel(), minlength=len(prediction.segments) + 1)
    boxes = ndimage.find_objects(prediction.mask, max_label=len(prediction.segments))
    voxel_ml = float(np.prod(prediction.spacing_mm)) / 1000
    warnings: list[str] = []
    for kind in dict.fromkeys(segment.kind for segment in prediction.segments):
        own = [segment for segment in prediction.segments if segment.kind == kind]
        voxels = sum(int(numbers[segment.number]) for segment in own)
        share = voxels / prediction.mask.size
        if own[0].lesion or LESION.search(kind):
            longest = max(_extent(segment, boxes, prediction) for segment in own)
            warnings += _lesion_warnings(kind, own, longest, share)
        else:
            inside = _is_inside(boxes[own[0].number - 1], prediction.mask.shape)
            warnings += _organ_warnings(kind, voxels * voxel_ml, share, inside=inside)
    return warnings


def _lesion_warnings(
    kind: str, segments: Sequence[Segment], longest_mm: float, share: float
) -> list[str]:
    """Judge the lesions of one kind."""
    limit = NODULE_MM if "nodul" in kind.lower() else LESION_MM
    found = len(segments) if segments[0].lesion else 0
    rows = (
        (found > MANY_LESIONS, f"{found} lesions of kind {kind}, more than {MANY_LESIONS}"),
        (longest_mm > limit, f"{kind} of {longest_mm:.0f} mm, longer than {limit:g} mm"),
        (share > LESION_SHARE, f"{kind} in {share:.0%} of the scan, more than {LESION_SHARE:.0%}"),
    )
    return [f"implausible: {text}; look at the mask" for wrong, text in rows if wrong]


def _organ_warnings(kind: str, volume_ml: float, share: float, *, inside: bool) -> list[str]:
    """Judge one organ."""
    if volume_ml == 0:
        return [f"{kind}: not found in this scan (0 mL)"]
    words = re.split(r"[\s_]+", kind.lower())
    least, most = next((ORGAN_ML[word] for word in words if word in ORGAN_ML), (0.0, np.inf))
    rows = (
        (volume_ml > most, f"{kind} of {volume_ml:.0f} mL, more than {most:g} mL"),
        (inside and volume_ml < least, f"{kind} of {volume_ml:.1f} mL, less than {least:g} mL"),
        (share > ORGAN_SHARE, f"{kind} in {share:.0%} of the scan, more than {ORGAN_SHARE:.0%}"),
    )
    return [f"implausible: {text}; look at the mask" for wrong, text in rows if wrong]


def _extent(
    segment: Segment, boxes: Sequence[tuple[slice, ...] | None], prediction: Prediction
) -> float:
    """Return the longest side of a segment's box in mm; 0 without a voxel."""
    box = boxes[segment.number - 1]
    if box is None:
        return 0.0
    sides = [part.stop - part.start for part in reversed(box)]
    return float(max(np.asarray(sides) * prediction.spacing_mm))


def _is_inside(box: tuple[slice, ...] | None, shape: Sequence[int]) -> bool:
    """Whether a box reaches no side of the scan, where the organ may be cut off."""
    if box is None:
        return False
    return all(part.start > 0 and part.stop < size for part, size in zip(box, shape, strict=True))
