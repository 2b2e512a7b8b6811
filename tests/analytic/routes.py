"""The route of `predict` from files to products, in one process, and the products read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom

from scripts.prediction.one_series import predict_study
from scripts.prediction.predict_options import Options
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.study_task import Outcome, Task
from tests.analytic.independent import centroid_of
from tests.analytic.nifti_files import RAS
from tests.analytic.phantom import Array


def predict_files(source: Path, options: Options, output: Path) -> list[Outcome]:
    """Predict every CT at a path as the command does."""
    output.mkdir(parents=True, exist_ok=True)
    found = find_sources(source)
    assert not found.refused, [str(remark) for remark in found.refused]
    return [predict_study(Task(each, output, options)) for each in found.sources]


def volume_and_centre(mask_file: Path) -> tuple[float, Array]:
    """Volume in ml and centre in LPS mm of a mask, by nibabel."""
    image = nibabel.load(mask_file)
    mask = np.asarray(image.dataobj).transpose(2, 1, 0) > 0
    affine = RAS @ image.affine
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    return float(mask.sum() * voxel_ml), centroid_of(mask, affine)


def segments_by_instance(file: Path) -> dict[str, np.ndarray]:
    """SOPInstanceUID of a source slice -> (rows, columns) mask of a SEG, all segments together."""
    data = pydicom.dcmread(file)
    frames = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    found: dict[str, np.ndarray] = {}
    for frame, item in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        (derived,) = item.DerivationImageSequence
        (source,) = derived.SourceImageSequence
        uid = str(source.ReferencedSOPInstanceUID)
        found[uid] = found.get(uid, False) | (frame > 0)
    return found


def contours_by_instance(file: Path) -> dict[str, list[Array]]:
    """SOPInstanceUID of a source slice -> polygons (n, 3) of an RTSTRUCT, LPS mm."""
    data = pydicom.dcmread(file)
    found: dict[str, list[Array]] = {}
    for roi in data.ROIContourSequence:
        for contour in roi.get("ContourSequence", ()):
            (image,) = contour.ContourImageSequence
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            found.setdefault(str(image.ReferencedSOPInstanceUID), []).append(points)
    return found


def measured(folder: Path) -> dict[str, Any]:
    """The one lesion of a study's statistics."""
    (lesion,) = json.loads((folder / "statistics.json").read_text())["lesions"]
    return lesion
