"""A tiny prepared folder, written by hand: what ``prepare`` writes of instances, without a scan."""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from scripts.volumes.geometry import set_affine

AFFINE = [[0.7, 0, 0, -10.0], [0, 0.8, 0, -20.0], [0, 0, 2.5, -30.0], [0, 0, 0, 1]]


def write_prepared(folder: Path, *, size: tuple[int, int] = (6, 8)) -> Path:
    """One scan of four stored slices (60 to 63 of the volume), two samples; the datalist's path."""
    scan = folder / "scans" / "a"
    scan.mkdir(parents=True)
    stack = np.arange(4 * size[0] * size[1], dtype=np.int16).reshape(4, *size) - 1000
    np.save(scan / "image.npy", stack)
    label = np.zeros(stack.shape, np.uint8)
    label[1, 2:4, 3:5] = 7
    np.save(scan / "label.npy", label)
    np.save(scan / "lung.npy", np.ones(stack.shape, np.uint8))
    for name in ("a.mhd", "a.nii.gz"):
        volume = sitk.Image(size[1], size[0], 64, sitk.sitkUInt8)
        sitk.WriteImage(set_affine(volume, np.array(AFFINE)), folder / name)

    def sample(number: int, rows: list[int]) -> dict:
        arrays = {key: f"scans/a/{key}.npy" for key in ("image", "label", "lung")}
        place = {"rows": rows, "slice": number, "spacing_mm": [0.7, 0.8, 2.5]}
        names = {"series_uid": "a", "patient_id": "p", "label_kind": "ball", "nodules": []}
        return {**arrays, **place, **names, "affine_lps": AFFINE}

    listed = {"image": "a.mhd", "label": "a.nii.gz", "series_uid": "a", "patient_id": "p"}
    content = {
        "name": "luna16",
        "training": [sample(61, [0, 1, 2]), sample(60, [0, 0, 1])],
        "validation": [],
        "test": [],
        "volumes": {"training": [listed], "validation": [], "test": []},
    }
    path = folder / "datalist.json"
    path.write_text(json.dumps(content))
    return path
