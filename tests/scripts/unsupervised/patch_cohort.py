"""A prepared cohort written by hand: balls in noisy lung, or organs in a body; one slice a scan."""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from scripts.volumes.geometry import set_affine

SHAPE, SPACING = (3, 40, 44), (1.0, 1.5, 2.0)  # rows, y, x; mm along x, y, z
AFFINE = np.diag([*SPACING, 1.0]) + np.outer([-20.0, -30.0, -50.0, 0], [0, 0, 0, 1])
SLICE = 30


def distance_mm(centre_yx, rows=(0, 1, 2)):
    """Distance of each voxel of a stack from a point of its middle slice."""
    x, y, z = SPACING
    k, j, i = np.meshgrid(rows, range(SHAPE[1]), range(SHAPE[2]), indexing="ij")
    return np.sqrt(
        ((k - 1) * z) ** 2 + ((j - centre_yx[0]) * y) ** 2 + ((i - centre_yx[1]) * x) ** 2
    )


def write_cohort(folder: Path, *, kind: str = "instances", patients: int = 6) -> Path:
    """Patients p0, p1 ...: the last for the test, the one before for validation; the path."""
    samples = []
    for number in range(patients):
        random = np.random.default_rng(number)
        noise = random.normal(0, 40, SHAPE)
        scan = folder / "scans" / f"s{number}"
        scan.mkdir(parents=True)
        make = _balls if kind == "instances" else _organs
        hu, label, entries = make(random)
        np.save(scan / "image.npy", (hu + noise).astype(np.int16))
        np.save(scan / "label.npy", label.astype(np.uint8))
        arrays = {key: f"scans/s{number}/{key}.npy" for key in ("image", "label")}
        place = {"rows": [0, 1, 2], "slice": SLICE, "spacing_mm": list(SPACING)}
        names = {"series_uid": f"s{number}", "patient_id": f"p{number}", "label_kind": "masks"}
        samples.append({**arrays, **place, **names, "affine_lps": AFFINE.tolist(), **entries})
    stored = np.load(folder / samples[-1]["image"]), np.load(folder / samples[-1]["label"])
    for name, array in zip(("image", "label"), stored, strict=True):
        volume = sitk.GetImageFromArray(array)
        placed = AFFINE + np.outer([0, 0, SLICE - 1, 0], [0, 0, 0, SPACING[2]])
        sitk.WriteImage(set_affine(volume, placed), folder / f"{name}.nii.gz")
    listed = ("series_uid", "patient_id", "label_kind", "nodules", "crop")
    whole = {name: samples[-1][name] for name in listed if name in samples[-1]}
    whole |= {"image": "image.nii.gz", "label": "label.nii.gz"}
    content = {
        "volumes": {"training": [], "validation": [], "test": [whole]},
        "name": "folder",
        "kind": kind,
        "training": samples[:-2],
        "validation": samples[-2:-1],
        "test": samples[-1:],
    }
    if kind == "classes":
        content["classes"] = {"0": "background", "1": "liver", "2": "bone"}
    path = folder / "datalist.json"
    path.write_text(json.dumps(content))
    return path


def _balls(random):
    """A ball of 12 mm with a soft shell, in lung with a chest wall on the left."""
    centre = random.uniform(14, 26, 2)
    ball = distance_mm(centre) <= 6
    hu = np.where(ball, 20.0, -850.0)
    hu[:, :, :6] = 50
    point = AFFINE @ [centre[1], centre[0], SLICE, 1]
    nodule = {"id": 3, "diameter_mm": 12.0, "centre_lps_mm": point[:3].tolist()}
    return hu, 3 * ball, {"nodules": [nodule], "crop": True}


def _organs(random):
    """A body with a bright bone and a liver that is a little brighter than the rest."""
    hu = np.full(SHAPE, -1000.0)
    hu[:, 4:36, 4:40] = 20
    liver, bone = (distance_mm(centre) <= 8 for centre in ((16, 16), (28, 30)))
    hu[liver], hu[bone] = 120, 700
    known = {"class_known": [True, True, True], "slices_in_volume": 60}
    return hu, np.where(bone, 2, liver), known
