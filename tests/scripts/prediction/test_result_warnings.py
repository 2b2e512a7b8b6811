from dataclasses import replace

import numpy as np
import pytest
import torch

from scripts.bundle.training_scans import TrainingScans, hashed_case, voxel_id
from scripts.datasets.training_data import training_data
from scripts.prediction.result import Prediction, Segment
from scripts.prediction.result_warnings import id_of_voxels, implausible, names_of, warnings_of
from scripts.prediction.sources.inventory import VOLUME_FILE, Source
from scripts.storage.archive import File
from scripts.volumes.volume import hash_of_voxels, turned
from tests.scripts.prediction.running import say
from tests.scripts.prediction.studies import bright_chest, write_nifti


def result(boxes, kinds, *, spacing=(1.0, 1.0, 1.0), lesion=False, shape=(60, 300, 300)):
    """Return a prediction whose segments are boxes (z, y, x) of voxels from (1, 1, 1)."""
    mask = np.zeros(shape, np.uint16)
    for number, (depth, height, width) in enumerate(boxes, start=1):
        mask[1 : 1 + depth, 1 : 1 + height, 1 : 1 + width] = number
    segments = tuple(Segment(n, kind, kind, lesion) for n, kind in enumerate(kinds, start=1))
    return Prediction(
        np.zeros(shape, np.int16), mask, np.diag([*spacing, 1.0]), segments, study="one"
    )


ORDINARY = {
    "nodules": result([(8, 9, 9), (30, 30, 30)], ["nodule"] * 2, lesion=True),
    "nothing": result([], []),
    "liver": result([(50, 180, 180)], ["liver"]),
    "organ cut off": result([(59, 50, 40)], ["liver"]),
    "no tumour": result([(0, 0, 0)], ["liver tumour"]),
    "giant tumour": result([(59, 150, 150)], ["liver tumour"], spacing=(0.7, 0.7, 1.0)),
}


@pytest.mark.parametrize("name", [name for name in ORDINARY if name != "giant tumour"])
def test_ordinary_result_then_no_warning(name):
    assert implausible(ORDINARY[name]) == []


@pytest.mark.parametrize(
    ("prediction", "said"),
    [
        (result([(1, 1, 1)], ["nodule"] * 287, lesion=True), "287 lesions of kind nodule, more"),
        (result([(5, 112, 8)], ["nodule"], lesion=True), "nodule of 112 mm, longer than 60 mm"),
        (result([(40, 4, 4)], ["nodule"], spacing=(1, 1, 3), lesion=True), "nodule of 120 mm"),
        (result([(50, 290, 290)], ["cyst"], lesion=True), "cyst in 78% of the scan, more than 10%"),
        (result([(50, 290, 290)], ["liver tumour"]), "liver tumour of 290 mm, longer than 200 mm"),
        (result([(0, 0, 0)], ["liver"]), "liver: not found in this scan"),
        (result([(50, 200, 200)], ["liver"], spacing=(1, 1, 4.5)), "liver of 9000 mL, more than"),
        (result([(20, 20, 20)], ["liver"]), "liver of 8.0 mL, less than 300 mL"),
        (result([(3, 3, 3)], ["kidney_left"]), "kidney_left of 0.0 mL, less than 40 mL"),
        (result([(59, 299, 299)], ["muscle"]), "muscle in 98% of the scan, more than 50%"),
    ],
)
def test_implausible_result_then_said_once(prediction, said):
    warnings = implausible(prediction)
    assert sum(said in warning for warning in warnings) == 1


def test_scan_unlike_those_of_the_training_then_said():
    scans = TrainingScans(pixel_mm=(0.6, 0.8), slice_mm=(1.0, 2.0))
    fine = replace(ORDINARY["nodules"], affine=np.diag([0.7, 0.7, 1.5, 1]))
    assert warnings_of([scans], fine, []) == []
    coarse = replace(fine, affine=np.diag([2.1, 2.1, 8.0, 1]))
    assert len(warnings_of([scans, scans], coarse, [])) >= 2
    assert (
        "pixels of 2.1 mm: the network was trained on 0.6 to 0.8"
        in warnings_of([scans], coarse, [])[0]
    )


def test_coronal_source_then_the_pixels_of_its_axial_slices_count():
    turned = np.array([[0.7, 0, 0, 0], [0, 0, 0.7, 0], [0, -3.0, 0, 0], [0, 0, 0, 1]])
    scans = TrainingScans(pixel_mm=(0.6, 0.8), slice_mm=(2.0, 4.0))
    assert warnings_of([scans], replace(ORDINARY["nothing"], affine=turned), []) == []


@pytest.mark.parametrize(
    "parts", [("case7.nii.gz",), ("case7", "ct.mha"), ("CASE7.MHD",), ("other.nrrd",)]
)
def test_scan_of_the_training_then_said(parts):
    source = Source("study", VOLUME_FILE, "here", (File(parts, None, 1),))
    names = names_of(source, ORDINARY["nothing"])
    scans = TrainingScans(cases=frozenset({hashed_case("case7", "salt")}), salt="salt")
    known = "case7" in parts[0]
    assert (
        "trained on this scan" in " ".join(warnings_of([scans], ORDINARY["nothing"], names))
    ) == known


def test_scan_of_the_training_under_another_name_in_another_orientation_then_said():
    hu = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    empty = {"mask": np.zeros_like(hu, np.uint8)}
    lps = replace(ORDINARY["nothing"], hu=hu, **empty, affine=np.diag([0.7, 0.7, 1.5, 1]))
    flipped = np.diag([-0.7, -0.7, 1.5, 1])
    flipped[:2, 3] = 3 * 0.7, 2 * 0.7
    ras = replace(lps, hu=hu[:, ::-1, ::-1].copy(), affine=flipped)
    trained = hashed_case(voxel_id(hash_of_voxels(hu)), "salt")
    scans = TrainingScans(cases=frozenset({trained}), salt="salt")
    for one in (lps, ras):
        assert scans.includes([id_of_voxels(one)])
    assert not scans.includes([id_of_voxels(replace(lps, hu=hu[::-1].copy()))])


@pytest.mark.usefixtures("_at_the_root", "_fresh_model")
def test_scan_of_the_training_under_another_name_then_the_manifest_says_so(lung_options, tmp_path):
    scan = bright_chest()
    image = hash_of_voxels(turned(scan.hu, scan.affine))
    content = torch.load(lung_options.checkpoints[0], weights_only=True)
    content["data"] = training_data("", [{"series_uid": "case7", "image_hash": image}])
    torch.save(content, tmp_path / "model.pt")
    options = replace(lung_options, checkpoints=(str(tmp_path / "model.pt"),))
    write_nifti(tmp_path / "in" / "renamed.nii.gz", scan)
    write_nifti(tmp_path / "in" / "other.nii.gz", bright_chest(nodules=1))
    assert say(options, tmp_path / "in", tmp_path / "out", "--products", "mask") == 0
    said = "the network was trained on this scan"
    assert said in (tmp_path / "out" / "renamed" / "manifest.json").read_text()
    assert said not in (tmp_path / "out" / "other" / "manifest.json").read_text()


def test_scan_of_the_validation_then_said_unless_it_was_trained_on():
    validation = frozenset({hashed_case("1.2.3", "salt")})
    scans = TrainingScans(validation=validation, salt="salt")
    (said,) = warnings_of([scans], ORDINARY["nothing"], ["1.2.3"])
    assert "selected by its result on this scan (validation)" in said
    assert warnings_of([scans], ORDINARY["nothing"], ["1.2.4"]) == []
    (said,) = warnings_of([replace(scans, cases=validation)], ORDINARY["nothing"], ["1.2.3"])
    assert "trained on this scan" in said
