"""CTs on the disk with somebody's name in them, and bundles whose network is one convolution."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import torch

from scripts.phantom.dicom_images import SliceGeometry, slice_files
from scripts.prediction.predict_options import Options
from scripts.volumes.formats.nifti import nifti_of
from tests.bundles.model_files import write_model
from tests.scripts.prediction.shapes import chest

ROOT = Path(__file__).resolve().parents[3]
LUNG, LIVER = (ROOT / "bundles" / f"{name}_ct_segmentation" for name in ("lung_nodule", "liver"))
PERSON = {
    "PatientName": "Quixotic^Zebulon",
    "PatientID": "PID-55501234",
    "PatientBirthDate": "19310417",
    "AccessionNumber": "ACC-99887766",
    "ReferringPhysicianName": "Whitcombe^Hortense",
    "InstitutionName": "Saint Elsewhere",
}
# bias and weight of each output on the middle slice: (offset, slope) of its logit in the window
NODULES = ((-85.0, 100.0),)
ORGANS = ((0.0, 0.0), (-50.0, 100.0), (-320.0, 400.0), (-900.0, 1.0))


def write_series(folder, prediction, *, series="ct", patient="P1", person=PERSON, **changes):
    """Write a prediction's CT (LPS order) as a DICOM series; return its files in no order."""
    x, y, z = prediction.affine[:3, 3]
    geometry = SliceGeometry((x, y, z), tuple(prediction.spacing_mm), descending=True)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in slice_files(prediction.hu, patient, series, geometry, intercept=-1024):
        data = pydicom.dcmread(io.BytesIO(content))
        for keyword, value in {**person, **changes}.items():
            setattr(data, keyword, value)
        paths.append(folder / f"{series}-{name}.dcm")
        data.save_as(paths[-1], enforce_file_format=True)
    return paths


def bright_chest(*, nodules=3, order=((0, 1, 2), (1, 1, 1))):
    """A chest whose nodules are denser than all else in it: what :data:`NODULES` finds."""
    drawn = chest(nodules=nodules, order=order)
    drawn.hu[drawn.mask > 0] = 350
    return drawn


def write_nifti(path, prediction):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nifti_of(prediction.hu, prediction.affine), path)
    return path


def one_convolution(folder, name, rules):
    """An overlay and weights of a 1x1 convolution; rules as :data:`NODULES`."""
    folder.mkdir(parents=True, exist_ok=True)
    network = torch.nn.Conv2d(3, len(rules), 1)
    with torch.no_grad():
        network.weight.zero_()
        for k, (offset, slope) in enumerate(rules):
            network.bias[k], network.weight[k, 1] = offset, slope
    overlay, weights = folder / f"{name}.json", folder / f"{name}.pt"
    definition = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "kernel_size": 1}
    definition["out_channels"] = len(rules)
    overlay.write_text(json.dumps({"network_def": definition}))
    configs = (LIVER if name == LIVER.name else LUNG) / "configs"
    with contextlib.chdir(ROOT):
        write_model(weights, network, configs)
    return str(overlay), str(weights)


def options_of(bundle, folder, rules, **others):
    """Options of predict; with torch, as OpenVINO's conversion takes longer than such a network."""
    overlay, weights = one_convolution(folder, bundle.name, rules)
    chosen = {"config_files": (overlay,), "checkpoints": (weights,), "device": "cpu"}
    return Options(bundle, **{**chosen, "engine": "torch", **others})


def bytes_below(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def dice(a, b):
    return 2 * np.sum(a & b) / np.sum(a.astype(int) + b)
