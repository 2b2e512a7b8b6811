"""A CT whose organs are known, with one drawn slice, and a network that was never trained."""

from __future__ import annotations

import nibabel
import numpy as np

from scripts.volumes.formats.nifti import nifti_of
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import LIVER, write_nifti
from tests.scripts.retraining.adaptable import bundle_options, tiny_unet

ROW = 12  # of 24 slices


def make_scene(monkeypatch, tmp_path):
    """A CT, its full reference, one drawn slice of it, and a network that was never trained."""
    monkeypatch.chdir(LIVER.parents[1])
    drawn = abdomen()
    write_nifti(tmp_path / "scan.nii.gz", drawn)
    save_mask(tmp_path / "reference.nii.gz", drawn.mask, drawn.affine)
    only = np.zeros_like(drawn.mask)
    only[ROW] = drawn.mask[ROW]
    save_mask(tmp_path / "drawn.nii.gz", only, drawn.affine)
    options = bundle_options(LIVER, tmp_path, tiny_unet(monkeypatch, 4))
    return tmp_path, drawn, options


def save_mask(path, mask, affine):
    nibabel.save(nifti_of(mask, affine), path)


def arguments(scene, **changes):
    folder, _, options = scene
    usual = {
        "model": options.checkpoints[0],
        "bundle": str(LIVER),
        "config_file": ",".join(options.config_files),
        "image": str(folder / "scan.nii.gz"),
        "annotated": str(folder / "drawn.nii.gz"),
        "output": str(folder / "out"),
        "products": "mask,statistics",
        "deep_iterations": 80,
        "deep_rate": 0.03,
        "shallow_iterations": 1,
        "shallow_rate": 1e-4,
        "device": "cpu",
    }
    return {**usual, **changes}
