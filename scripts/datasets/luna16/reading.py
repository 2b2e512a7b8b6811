"""Reading of one LUNA16 scan: the CT, its instance map of nodules, and the lung field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.datasets.contract import Labelled
from scripts.datasets.instance_maps import Map, Objects
from scripts.datasets.luna16.annotations import Annotation, Finding
from scripts.datasets.luna16.instances import ball_instances, mask_instances
from scripts.datasets.luna16.outline_files import read_outlines
from scripts.datasets.luna16.outlines import reader_instances
from scripts.datasets.luna16.scans import Series
from scripts.transforms.lung_field import lung_field, lung_field_from_labels
from scripts.volumes.geometry import affine_of, grid_difference, spacing_of, to_lps
from scripts.volumes.readers import read_image
from scripts.volumes.volume import Volume


def read_labelled(
    series: Series,
    annotations: Sequence[Annotation],
    findings: Sequence[Finding],
    label: str,
    truth_file: Path | None,
    *,
    min_readers: int,
) -> Labelled:
    """Read one scan.

    Args:
        series: files of the series.
        annotations: rows of the nodule list.
        findings: excluded findings.
        label: ``ball``, ``readers`` or ``masks``.
        truth_file: XML or database of outlines, or mask, for the latter two.
        min_readers: number of readers who must have outlined a voxel.

    Raises:
        ValueError, OSError: naming the file and the reason.
    """
    image = read_image(series.image)
    image_lps = to_lps(image)
    outlined_z_mm: list[float] = []
    if label == "ball":
        instances, nodules = ball_instances(annotations, image_lps)
    elif truth_file is None:
        raise FileNotFoundError(f"no {label} for this series: no file has its uid")
    elif label == "masks":
        excluded = [finding.point for finding in findings]
        instances, nodules = mask_instances(truth_file, image, annotations, excluded)
    else:
        instances, nodules, outlined_z_mm = _outlined(truth_file, series.uid, image, min_readers)
    lung = _read_lungs(series, image, image_lps)
    measured = [(*row.centre_lps_mm, row.diameter_mm) for row in annotations]
    outlined = [(0.0, 0.0, z, 0.0) for z in outlined_z_mm]  # slices are axial: z alone counts
    # an unmeasured finding may be none: LUNA16 lists every mark of a reader
    sized = [finding.point for finding in findings if finding.diameter_mm is not None]
    return Labelled(
        Volume.from_image(image_lps),
        instances,
        objects=nodules,
        by_centre=label == "ball",
        lung=lung,
        avoid=[*measured, *outlined, *sized],
        excluded=[finding.point for finding in findings],
        file_affine=affine_of(image),
        notes=[] if series.lungs else ["lung field computed: no mask in seg-lungs"],
        facts={"lung_field": "seg-lungs" if series.lungs else "computed"},
    )


def _outlined(
    file: Path, uid: str, image: sitk.Image, min_readers: int
) -> tuple[Map, Objects, list[float]]:
    """Return map, nodules, and z in mm of every outline of every reader."""
    outlines = read_outlines(file, uid)
    every = [line for nodules in outlines.readers for nodule in nodules for line in nodule.outlines]
    try:
        instances, nodules = reader_instances(outlines, image, min_readers=min_readers)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error
    return instances, nodules, [outline.z_mm for outline in every]


def _read_lungs(series: Series, image: sitk.Image, image_lps: sitk.Image) -> NDArray[np.bool_]:
    """Return the lung field (Z, Y, X) in LPS order, from ``seg-lungs`` or computed.

    In both cases it is closed, so that it contains nodules on the pleura.

    Raises:
        ValueError: for a lung mask on another grid than the scan, or without lung.
    """
    spacing = spacing_of(affine_of(image_lps)).tolist()
    if series.lungs is None:
        return lung_field(sitk.GetArrayViewFromImage(image_lps), spacing)
    mask = read_image(series.lungs)
    name = f"{series.lungs.parent.name}/{series.lungs.name}"
    if difference := grid_difference(image, mask):
        raise ValueError(f"{name}: not on the scan's grid: {difference}")
    turned = to_lps(mask)  # kept in a variable: an array view does not keep its image alive
    try:
        return lung_field_from_labels(sitk.GetArrayViewFromImage(turned), spacing)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
