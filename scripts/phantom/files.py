"""Files of a synthetic cohort: its folder, which a later run may complete, and its images."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.storage.files import PART, read_json, write_text
from scripts.storage.output_folder import writing_into


@dataclass(frozen=True)
class Geometry:
    """World position (LPS mm) of an array (Z, Y, X), for axis-aligned scans.

    Args:
        offset_mm: world position (x, y, z) of the first voxel's centre.
        signs: direction (x, y, z) in which each index runs, +1 or -1.
        spacing_mm: voxel size (x, y, z).
    """

    offset_mm: tuple[float, float, float]
    signs: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def world(self, index_xyz: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map voxel indices (..., 3) in the order x, y, z, counted from 0, to LPS mm.

        >>> geometry = Geometry((10.0, 0.0, 0.0), (-1, -1, 1), (0.5, 0.5, 2.0))
        >>> geometry.world(np.array([2, 2, 2])).tolist()
        [9.0, -1.0, 4.0]
        """
        step = np.array(self.signs) * np.array(self.spacing_mm)
        return np.asarray(np.array(self.offset_mm) + np.asarray(index_xyz) * step)


def write_image(path: Path, array: NDArray[np.generic], geometry: Geometry) -> None:
    """Write an array (Z, Y, X) as MetaImage (PATH.mhd and PATH.raw) or as compressed NIfTI.

    Written in a temporary folder, then moved, data before header, so that no incomplete file
    exists under the final name.
    """
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(geometry.offset_mm)
    image.SetSpacing(geometry.spacing_mm)
    image.SetDirection(np.diag(np.array(geometry.signs, dtype=float)).ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=PART) as folder:
        compressed = path.suffix == ".gz"
        sitk.WriteImage(image, str(Path(folder) / path.name), useCompression=compressed)
        for written in sorted(Path(folder).iterdir(), reverse=True):  # .raw before .mhd
            os.replace(written, path.with_name(written.name))


def claim_folder(folder: Path, options: Mapping[str, Any], patients: int, readme: str) -> Path:
    """Create the folder of a cohort, or accept one with the same cohort to complete it.

    Args:
        folder: folder of the cohort.
        options: options that its images depend on, stored in cohort.json.
        patients: number of patients; may be larger than in an earlier run.
        readme: text of README.txt.

    Returns:
        The folder.

    Raises:
        FileExistsError: for a folder with other files or a cohort of other options.
        OutputError: when it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output must be a folder, {folder} is a file; name another")
    record = folder / "cohort.json"
    content = {**options, "patients": patients}
    if record.is_file():
        earlier = read_json(record)
        same = {key: earlier.get(key) for key in options} == dict(options)
        if not same or earlier.get("patients", 0) > patients:
            raise FileExistsError(
                f"{folder} holds a cohort made with {earlier}, asked for {content}; use the same "
                "options (patients may grow) or another folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} is not empty and holds no cohort of this command; name an empty folder"
        )
    with writing_into(folder):
        write_text(record, json.dumps(content, indent=1) + "\n")
        write_text(folder / "README.txt", readme)
    return folder
