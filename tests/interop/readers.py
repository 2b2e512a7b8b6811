"""DICOM objects of ``predict``, read by programs that know nothing of this project.

``dcmqi`` is what 3D Slicer reads SEG and SR with, ``plastimatch`` a reader of RTSTRUCT. Masks are
compared voxel by voxel in their place, volumes with ``statistics.json``.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np

LEAST_DICE = 0.99  # of outlines, which cut corners of voxels


def read_objects(study: Path, series: Path, programs: Path, folder: Path) -> dict[str, str]:
    """Read segmentation.dcm, sr.dcm and rtstruct.dcm of a study; say how they differ.

    Args:
        study: folder of ``predict`` with all products of a DICOM series.
        series: the series.
        programs: folder of dcmqi's and plastimatch's programs.
        folder: new folder, for what they write.
    """
    mask = nibabel.load(study / "mask.nii.gz")
    ours = np.asarray(mask.dataobj)
    for name in ("seg", "rtstruct"):
        (folder / name).mkdir(parents=True)
    words = ["--inputDICOM", study / "segmentation.dcm", "--outputDirectory", folder / "seg"]
    _run(programs / "segimage2itkimage", *words, "-t", "nii")
    found = placed((folder / "seg").glob("*.nii.gz"), mask)
    differing, marked = int((found != ours).sum()), int((ours > 0).sum())
    words = ["--inputDICOM", study / "sr.dcm", "--outputMetadata", folder / "sr.json"]
    _run(programs / "tid1500reader", *words)
    groups = json.loads((folder / "sr.json").read_text())["Measurements"]
    wrong = unlike(groups, json.loads((study / "statistics.json").read_text()))
    words = ["--input", study / "rtstruct.dcm", "--referenced-ct", series]
    words += ["--output-prefix", folder / "rtstruct", "--prefix-format", "nii.gz"]
    _run(programs / "plastimatch", "convert", *words)
    filled = placed((folder / "rtstruct").glob("*.nii.gz"), mask) > 0
    dice = 2 * int((filled & (ours > 0)).sum()) / max(1, int(filled.sum()) + marked)
    return {
        "dcmqi, SEG": _told(not differing and marked, f"{differing} of {ours.size} voxels differ"),
        "dcmqi, SR": _told(not wrong and groups, f"{wrong} of {len(groups)} volumes differ"),
        "plastimatch, RTSTRUCT": _told(dice >= LEAST_DICE, f"Dice {dice:.4f} with the mask"),
    }


def placed(files: Iterable[Path], mask: nibabel.Nifti1Image) -> np.ndarray:
    """Return the labels of NIfTI files on the grid of a mask, each where its affine puts it."""
    labels = np.zeros(mask.shape, np.int64)
    for file in files:
        image = nibabel.load(file)
        values = np.asarray(image.dataobj)
        found = np.argwhere(values > 0)
        indices = nibabel.affines.apply_affine(np.linalg.inv(mask.affine) @ image.affine, found)
        labels[tuple(np.rint(indices).astype(int).T)] = values[values > 0]
    return labels


def unlike(groups: list[dict], statistics: dict) -> int:
    """Count the groups of an SR whose volume is not that of the statistics."""
    volumes = {one["dicom_segment"]: one["volume_mm3"] for one in statistics["lesions"]}
    volumes |= {one["dicom_segment"]: one["volume_ml"] for one in statistics["organs"]}
    wrong = 0
    for group in groups:
        found = [
            float(item["value"])
            for item in group.get("measurementItems", ())
            if item["quantity"]["CodeValue"] == "118565006"
        ]
        wrong += found != [volumes[group["ReferencedSegment"]]]
    return wrong


def _told(right: object, words: str) -> str:
    return words if right else f"FAILED: {words}"


def _run(*words: object) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
