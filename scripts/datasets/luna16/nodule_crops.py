"""Crops around the nodules of LUNA16's list, with the votes of the readers.

The folder that :func:`write_crops` fills is one of the data set ``lidc_nodules``: ``image/`` (HU),
``votes/`` (number of readers whose outline holds each voxel) and ``index.csv``. A crop is the box
around the voxels of all readers, grown on each side by 15 % of its width, and within the slice to
at least 43 pixels.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.datasets.contract import Listing, Scan
from scripts.datasets.luna16.nodule_groups import Group, group_nodules, match_listed
from scripts.datasets.luna16.outline_files import read_outlines
from scripts.datasets.problems import Problem
from scripts.datasets.ratings import RATINGS
from scripts.running.options import cores
from scripts.running.progress import Progress
from scripts.running.reasons import listed_reasons, one_line
from scripts.running.workers import work_through
from scripts.storage.files import atomic_path, write_csv
from scripts.storage.locks import claimed
from scripts.storage.output_folder import writing_into
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.geometry import affine_of, index_to_world, spacing_of
from scripts.volumes.readers import read_image

MARGIN_PERCENT = 15  # of the width of the nodule's box, on each side, rounded down
LEAST_PIXELS = 44  # of a crop's sides within the slice; one less where the box has an odd width
COLUMNS = (
    *("file", "patient", "series_uid", "readers", "malignancy"),
    *("luna16_diameter_mm", "luna16_distance_mm", "x0", "y0", "nx", "ny", "nz"),
    *("spacing_xy", "spacing_z", "voxels_ge1", "voxels_ge2", "voxels_ge3", "hu_min", "hu_max"),
    *(name for name in RATINGS if name != "malignancy"),
)
Row = dict[str, Any]
Index = tuple[slice, slice, slice]


@dataclass(frozen=True)
class SeriesCrops:
    """The rows of ``index.csv`` of one series, and what could not be cut."""

    rows: list[Row]
    problems: list[Problem]


def write_crops(listing: Listing, output: Path, jobs: int | None) -> list[Problem]:
    """Write crops and index of the scans of a listing, and return the problems.

    Args:
        listing: the scans with their outlines, see :meth:`Luna16.find`.
        output: folder to write; files of an earlier run are replaced.
        jobs: number of processes; None for one for each core.

    Raises:
        ValueError: when no nodule can be cut.
        OSError: when the folder cannot be written.
    """
    left_out = {problem.scan_id for problem in listing.problems if problem.left_out}
    annotated = [scan for scan in listing.scans if scan.details.annotations]
    scans = [scan for scan in annotated if scan.id not in left_out]
    tasks = [(scan, start, output) for scan, start in zip(scans, beginnings(scans), strict=True)]
    with claimed(output):
        outcomes = work_through(cut_series, tasks, cores() if jobs is None else jobs)
        results = list(Progress(outcomes, total=len(tasks), unit="scan", desc="crops"))
        problems = [problem for result in results for problem in result.problems]
        problems = [*listing.problems, *problems]
        rows = [row for result in results for row in result.rows]
        if not rows:
            reasons = listed_reasons(problems) or "none is listed"
            raise ValueError(f"source: none of its nodules can be cut out: {reasons}")
        ordered = sorted(rows, key=lambda row: (row["patient"], row["file"]))
        with writing_into(output):
            write_csv(output / "index.csv", ordered, columns=COLUMNS)
    patients = len({row["patient"] for row in rows})
    for problem in problems:
        print(f"  {problem}")
    print(f"crops: {len(rows)} nodules of {patients} patients\nwritten: {output / 'index.csv'}")
    return problems


def cut_series(task: tuple[Scan, str, Path]) -> SeriesCrops:
    """Write the crops of one series; what it lacks is returned as problems.

    Args:
        task: the scan, with its files and rows of the nodule list; the beginning of the names of
            its crops; and the folder to write.

    Raises:
        OutputError: when the folder cannot be written.
    """
    scan, start, output = task
    try:
        image = read_image(scan.details.series.image)
        groups = _groups(scan, image)
    except (OSError, ValueError, RuntimeError) as error:
        return SeriesCrops([], [Problem(scan.id, "", one_line(error))])
    hu, affine = sitk.GetArrayViewFromImage(image), affine_of(image)
    annotations = scan.details.annotations
    points = [(*annotation.centre_lps_mm, annotation.diameter_mm) for annotation in annotations]
    own = match_listed(points, groups, [np.array(group.listed_centre_mm) for group in groups])
    rows, problems = [], []
    for annotation, number in ((one, own.get(k)) for k, one in enumerate(annotations)):
        if number is None:
            reason = f"no reader's outline lies at the nodule of row {annotation.line}"
            problems.append(Problem(scan.id, "annotations.csv", reason, left_out=False))
            continue
        distance = math.dist(groups[number].centre_mm, annotation.centre_lps_mm)
        name = f"{start}_R_{number + 1}.nii.gz"
        row: Row = {"file": name, "patient": scan.patient_id, "series_uid": scan.id}
        row |= _cut(groups[number], hu, affine, name, output)
        row |= {"luna16_diameter_mm": round(annotation.diameter_mm, 2)}
        rows.append(row | {"luna16_distance_mm": round(distance, 2)})
    return SeriesCrops(sorted(rows, key=lambda row: str(row["file"])), problems)


def beginnings(scans: Sequence[Scan]) -> list[str]:
    """Return the beginning of the names of each scan's crops: its patient.

    A patient with several scans has a number at the end: ``LIDC-IDRI-0132_1``.

    Raises:
        ValueError: for a patient whose id cannot be part of a file's name.
    """
    counts = Counter(scan.patient_id for scan in scans)
    seen: Counter[str] = Counter()
    names = []
    for scan in scans:
        patient = scan.patient_id
        if not re.fullmatch(r"[\w.-]+", patient) or patient.startswith("."):
            raise ValueError(f"patients: must be plain names for --crops, got {patient!r:.60}")
        seen[patient] += 1
        names.append(f"{patient}_{seen[patient]}" if counts[patient] > 1 else patient)
    return names


def crop_box(low: int, high: int, size: int, least: int = 0) -> tuple[int, int]:
    """Return the first and the past-the-end index of a crop along one axis.

    Args:
        low: first index of the nodule.
        high: its last index.
        size: size of the image, where the crop ends.
        least: the crop's size for small nodules; one less if the nodule's is odd.

    Example:
        >>> crop_box(300, 315, 512, 44), crop_box(345, 387, 512, 44), crop_box(2, 9, 80)
        ((286, 330), (339, 394), (1, 11))
    """
    width = high - low + 1
    margin = max(width * MARGIN_PERCENT // 100, (least - width) // 2)
    return max(low - margin, 0), min(high + margin + 1, size)


def _groups(scan: Scan, image: sitk.Image) -> list[Group]:
    """Return the nodules of a series, from feet to head."""
    file = scan.details.truth_file
    if file is None:
        raise FileNotFoundError("no outlines for this series: no file has its uid")
    if image.GetPixelID() != sitk.sitkInt16:
        raise ValueError(f"must hold HU of 16 bits, got {image.GetPixelIDTypeAsString()}")
    return group_nodules(read_outlines(file, scan.id), image.GetSize()[::-1], affine_of(image))


def _cut(
    group: Group,
    hu: NDArray[np.int16],
    affine: NDArray[np.float64],
    name: str,
    output: Path,
) -> Row:
    """Write image and votes of one nodule; return what the index says of them."""
    indices = np.unravel_index(group.voxels, hu.shape)
    sides = [
        crop_box(int(index.min()), int(index.max()), size, least)
        for index, size, least in zip(
            indices, hu.shape, (0, LEAST_PIXELS, LEAST_PIXELS), strict=True
        )
    ]
    box: Index = tuple(slice(*side) for side in sides)  # type: ignore[assignment]
    votes = np.zeros(hu.shape, np.uint8)
    votes[indices] = group.votes
    placed = affine.copy()
    (z0, _), (y0, _), (x0, _) = sides
    placed[:3, 3] = index_to_world((x0, y0, z0), affine)
    with writing_into(output):
        for kind, array in (("image", hu[box]), ("votes", votes[box])):
            with atomic_path(output / kind / name) as part:
                nibabel.save(nifti_of(array, placed), part)
    nz, ny, nx = votes[box].shape
    spacing = spacing_of(affine)
    ratings = [nodule.characteristics for nodule in group.nodules]
    return {
        "readers": len(group.nodules),
        **{name: "|".join(str(r[name]) for r in ratings if name in r) for name in RATINGS},
        **{"x0": x0, "y0": y0, "nx": nx, "ny": ny, "nz": nz},
        **{"spacing_xy": round(float(spacing[0]), 5), "spacing_z": round(float(spacing[2]), 5)},
        **{f"voxels_ge{least}": int((group.votes >= least).sum()) for least in (1, 2, 3)},
        **{"hu_min": int(hu[box].min()), "hu_max": int(hu[box].max())},
    }
