"""Nodules of two classes with equal sizes, drawn into plain lung: quick to make and to measure."""

from __future__ import annotations

import nibabel
import numpy as np

from scripts.phantom.chest.nodules import Nodule as Drawing
from scripts.phantom.chest.nodules import paint_nodule
from scripts.phantom.chest.suspicion import draw_looks, draw_ratings
from scripts.phantom.solids import Grid
from scripts.suspicion.rated_nodules import Nodule
from scripts.volumes.formats.nifti import nifti_of

SPACING = (0.8, 0.8, 1.25)
SHAPE = (26, 40, 40)


def planted(pairs, seed=0, limits_mm=(9.0, 13.0)):
    """Pairs of nodules of one diameter, one of each class, in one patient."""
    rng = np.random.default_rng(seed)
    nodules = []
    for pair in range(pairs):
        diameter = float(rng.uniform(*limits_mm))
        for suspicious in (True, False):
            nodules.append(draw(rng, f"P{pair}", diameter, suspicious=suspicious))
    return nodules


def draw(rng, patient, diameter, *, suspicious):
    """One nodule with ratings of four readers."""
    axes = [(np.arange(n) - n / 2) * mm for n, mm in zip(SHAPE[::-1], SPACING, strict=True)]
    grid = Grid(*(np.asarray(axis, np.float32) for axis in axes), SPACING)
    hu = rng.normal(-850, 25, SHAPE).astype(np.float32)
    lungs = np.ones(SHAPE, np.float32)  # the left lung everywhere
    centre = rng.uniform(-0.5, 0.5, 3)
    looks = draw_looks(rng, suspicious=suspicious)
    drawn = paint_nodule(hu, lungs, grid, Drawing("solid", centre, diameter, 1, *looks), rng)
    mask = np.zeros(SHAPE, bool)
    mask[drawn.window] = drawn.mask
    hu += rng.normal(0, 20, SHAPE)
    return Nodule(
        id=f"{patient}#{1 + suspicious}",
        scan_id=patient,
        patient=patient,
        ratings=draw_ratings(rng, suspicious=suspicious),
        hu=hu.astype(np.int16),
        mask=mask,
        affine_lps=np.diag([*SPACING, 1.0]),
        diameter_mm=diameter,
    )


def write_crops(folder, nodules):
    """Write nodules as a source of lidc_nodules: image/, votes/ and index.csv."""
    rows = ["file,patient,series_uid,readers,malignancy,luna16_diameter_mm"]
    for number, nodule in enumerate(nodules):
        name = f"{nodule.patient}_{number}.nii.gz"
        for kind, array in (("image", nodule.hu), ("votes", nodule.mask.astype(np.uint8) * 3)):
            (folder / kind).mkdir(exist_ok=True)
            nibabel.save(nifti_of(array, nodule.affine_lps), folder / kind / name)
        given = "|".join(map(str, nodule.ratings))
        rows.append(f"{name},{nodule.patient},1.{number},{len(nodule.ratings)},{given},9")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder
