"""The data set of crops around nodules of LIDC-IDRI, with the votes of the readers.

The folder holds ``image/`` (HU), ``votes/`` (number of readers who outlined each voxel) and
``index.csv`` (one row per nodule: patient, series, ratings).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from scripts.datasets.contract import DataSet, Labelled, Listing, Scan
from scripts.datasets.problems import Problem
from scripts.storage.csv_files import read_csv
from scripts.storage.options import check_whole

COLUMNS = ("file", "patient", "series_uid", "readers", "malignancy", "luna16_diameter_mm")
ENDING = ".nii.gz"


@dataclass(frozen=True)
class LidcNodules(DataSet):
    """Prepare crops around single LIDC nodules for training; each is a scan with one object.

    Args:
        source: folder with image/, votes/ and index.csv.
        min_readers: number of readers who must have outlined a voxel of the nodule.
    """

    min_readers: int = 2

    name: ClassVar[str] = "lidc_nodules"
    title: ClassVar[str] = "nodules of LIDC-IDRI, cut out"
    label_kinds: ClassVar[tuple[str, ...]] = ("votes",)
    window_hu: ClassVar[tuple[float, float]] = (-1000.0, 400.0)
    shows_air: ClassVar[bool] = True
    kind = "instances"
    metric = "val_dice_per_slice"

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: for a number of readers other than 1 to 4.
        """
        check_whole("min_readers", self.min_readers, 1, 4)

    def classes(self) -> dict[int, str]:
        """Return the one class, and the background."""
        return {0: "background", 1: "nodule"}

    def find(self, source: Path) -> Listing:
        """List the crops of ``index.csv``, and those whose files are missing.

        Raises:
            OSError: when the index does not exist.
            ValueError: for an index without rows or with a missing column.
        """
        index = source / "index.csv"
        if not index.is_file():
            raise FileNotFoundError(f"source: {source} must hold index.csv, image/ and votes/")
        rows = read_csv(index, COLUMNS)
        if not rows:
            raise ValueError(f"{index}: lists no nodule")
        scans: list[Scan] = []
        problems: list[Problem] = []
        for row in rows:
            name = row.get("file").removesuffix(ENDING)
            try:
                scans.append(_scan(source, name, row.named()))
            except (OSError, ValueError) as error:
                problems.append(Problem(name, f"index.csv row {row.line}", str(error)))
        return Listing(scans, problems)

    def read(self, scan: Scan) -> Labelled:
        """Read one crop; its nodule is the voxels that at least ``min_readers`` outlined.

        Raises:
            ValueError, OSError: naming the file; for a crop without such a voxel.
        """
        from scripts.datasets.instance_maps import measure_objects, read_ct_and_map

        image_path, votes_path = scan.files
        volume, votes, file_affine = read_ct_and_map(image_path, votes_path)
        label = (votes >= self.min_readers).astype(np.uint8)
        if not label.any():
            raise ValueError(
                f"votes/{votes_path.name}: no voxel lies in the outlines of {self.min_readers} "
                f"readers, at most in those of {votes.max()}"
            )
        (nodule,) = measure_objects(label, volume.affine_lps)
        return Labelled(
            volume, label, objects=({**nodule, **scan.details},), file_affine=file_affine
        )


def _scan(source: Path, name: str, row: Mapping[str, str]) -> Scan:
    """Make the scan of a row; raise an error that names what is wrong with the row."""
    lacking = [column for column in COLUMNS if not row[column]]
    if lacking:
        raise ValueError(f"lacks {', '.join(lacking)}")
    files = (source / "image" / row["file"], source / "votes" / row["file"])
    missing = [f"{path.parent.name}/{path.name}" for path in files if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"missing files: {', '.join(missing)}")
    ratings = {
        "scan_uid": row["series_uid"],
        "readers": int(row["readers"]),
        "malignancy": [int(rating) for rating in row["malignancy"].split("|")],
        "luna16_diameter_mm": float(row["luna16_diameter_mm"]),
    }
    return Scan(name, row["patient"], files, image_file=files[0], details=ratings)
