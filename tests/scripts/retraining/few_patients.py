"""Prepared slices and volumes of a few patients: bright discs, whose labels only some need."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np

from tests.bundles.config_files import ROOT

SIZE = 32
AFFINE = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 2.0, 0], [0, 0, 0, 1]]
PARTITIONS = {"training": ("A", "B", "C", "D"), "validation": ("V",), "test": ("T",)}
SLICES = 3


def write_patients(
    folder: Path, *, classes: bool = False, unlabelled: str = "", volumes: bool = False
) -> Path:
    """Write the patients of every partition; return the datalist.

    Args:
        folder: to write into.
        classes: labels of organs, in place of single lesions.
        unlabelled: patients whose label file does not exist.
        volumes: whole volumes too, stored from left to right and back to front.
    """
    content = {
        name: [entry for patient in patients for entry in _patient(folder, patient, classes)]
        for name, patients in PARTITIONS.items()
    }
    names = ["background", "liver", "bone", "kidney"] if classes else ["background", "nodule"]
    content |= {
        "name": "ircadb" if classes else "luna16",
        "kind": "classes" if classes else "instances",
        "classes": {str(value): name for value, name in enumerate(names)},
        "training_mean": {"windowed": 0.2, "window_hu": [-150, 250], "outside_window": "clip"},
        "provenance": {"slices": "central", "split": {"kind": "patient", "seed": 0}, "seed": 0},
    }
    if volumes:
        content["volumes"] = {
            name: [_volume(folder, patient, classes) for patient in patients]
            for name, patients in PARTITIONS.items()
        }
    for patient in unlabelled:
        for name in ("label.npy", "label.nii.gz"):
            (folder / "scans" / patient / name).unlink(missing_ok=True)
    path = folder / "datalist.json"
    path.write_text(json.dumps(content))
    return path


def _patient(folder: Path, patient: str, classes: bool) -> list[dict]:
    rng = np.random.default_rng(ord(patient))
    scan = folder / "scans" / patient
    scan.mkdir(parents=True)
    y, x = np.mgrid[:SIZE, :SIZE]
    label = np.zeros((SLICES, SIZE, SIZE), np.uint8)
    for row in range(SLICES):
        centre, radius = rng.uniform(10, SIZE - 10, 2), rng.uniform(4, 7)
        label[row] = np.hypot(y - centre[0], x - centre[1]) < radius
    hu = np.where(label > 0, 100, -700) + rng.normal(0, 30, label.shape)
    np.save(scan / "image.npy", hu.astype(np.int16))
    np.save(scan / "label.npy", label)
    np.save(scan / "lung.npy", np.ones_like(label))
    return [_entry(patient, row, classes) for row in range(SLICES)]


def _entry(patient: str, row: int, classes: bool) -> dict:
    keys = ("image", "label") if classes else ("image", "label", "lung")
    entry = {key: f"scans/{patient}/{key}.npy" for key in keys}
    rows = [max(row - 1, 0), row, min(row + 1, SLICES - 1)]
    place = {"rows": rows, "slice": row, "spacing_mm": [1.0, 1.0, 2.0], "affine_lps": AFFINE}
    names = {"series_uid": f"1.{ord(patient)}", "patient_id": patient, "label_kind": "masks"}
    if classes:
        known = [True, True, True, patient in "AV"]
        return {**entry, **place, **names, "class_known": known, "classes_shown": [0, 1]}
    nodule = {"id": 1, "diameter_mm": 10.0, "centre_lps_mm": [16.0, 16.0, 2.0 * row]}
    return {**entry, **place, **names, "nodules": [nodule]}


def _volume(folder: Path, patient: str, classes: bool) -> dict:
    scan = folder / "scans" / patient
    for name in ("image", "label"):
        array = np.load(scan / f"{name}.npy").transpose(2, 1, 0)  # (X, Y, Z), index order LPS
        nibabel.save(nibabel.Nifti1Image(array, np.diag([-1.0, -1, 2, 1])), scan / f"{name}.nii.gz")
        turned = nibabel.as_closest_canonical(nibabel.load(scan / f"{name}.nii.gz"))  # RAS
        nibabel.save(turned, scan / f"{name}.nii.gz")
    entry = _entry(patient, 0, classes)
    of_slice = ("rows", "slice", "affine_lps", "lung", "nodules", "classes_shown")
    files = {name: f"scans/{patient}/{name}.nii.gz" for name in ("image", "label")}
    return {**{k: v for k, v in entry.items() if k not in of_slice}, **files}


def lesion_volumes(path: Path) -> Path:
    """Write luna16_volumes.json without the lung field, which such small volumes do not have."""
    content = json.loads((ROOT / "configs" / "data" / "luna16_volumes.json").read_text())
    content["sample_transforms"] = [
        {**one, "keys": [key for key in one["keys"] if key != "lung"]}
        if isinstance(one["keys"], list)
        else one
        for one in content["sample_transforms"]
        if not one["_target_"].endswith("LungFieldd")
    ]
    path.write_text(json.dumps(content))
    return path
