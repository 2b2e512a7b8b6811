"""Crops for a classifier of images: data sets by fold, and scores."""

import json

import numpy as np
import pytest
import torch

from scripts.bundle.model_file import read_model, trained_network
from scripts.datasets.shares import leaks
from scripts.suspicion.cross_validation import Design
from scripts.suspicion.training_crops import SIDE, crop_of, crop_scores, write_crops
from tests.scripts.suspicion.networks import write_classifier_of_crops, write_unet


def test_crop_then_the_centre_of_the_nodule_in_its_middle(nodules):
    nodule = nodules[0]
    crop = crop_of(nodule)
    assert crop.shape == (3, SIDE, SIDE)
    z, y, x = np.rint(np.argwhere(nodule.mask).mean(axis=0)).astype(int)
    assert crop[1, SIDE // 2, SIDE // 2] == nodule.hu[z, y, x]
    assert crop[0, SIDE // 2, SIDE // 2] == nodule.hu[z - 1, y, x]
    assert crop[1, 0, SIDE // 2] == nodule.hu[z, 0, x]  # beyond the image, its edge


def test_data_sets_then_one_for_each_fold_without_a_patient_on_both_sides(
    nodules, design, tmp_path
):
    write_crops(nodules, design, tmp_path)
    for fold in design.numbers:
        path = tmp_path / f"fold{fold}" / "datalist.json"
        content = json.loads(path.read_text())
        assert leaks(content) == []
        assert len(content["test"]) == (design.folds == fold).sum()
        assert len(content["validation"]) == (design.folds == (fold + 1) % 5).sum()
        assert sum(len(content[name]) for name in ("training", "validation", "test")) == len(
            nodules
        )
    entry = content["test"][0]
    tested = np.flatnonzero(design.folds == fold)
    assert [sample["target"] for sample in content["test"]] == [
        [float(label)] for label in design.labels[tested]
    ]
    image = np.load(path.parent / entry["image"])
    np.testing.assert_array_equal(image, crop_of(nodules[tested[0]]))


def test_data_sets_when_a_fold_has_no_nodule_then_the_next_one_validates(nodules, design, tmp_path):
    used = design.folds != 1
    few = [nodule for nodule, one in zip(nodules, used, strict=True) if one]
    part = Design(design.labels[used], design.patients[used], design.folds[used])
    write_crops(few, part, tmp_path)
    for fold, validation in {0: 2, 2: 3, 3: 4, 4: 0}.items():
        content = json.loads((tmp_path / f"fold{fold}" / "datalist.json").read_text())
        known = set(part.patients[part.folds == validation])
        assert {sample["patient_id"] for sample in content["validation"]} == known


def test_scores_then_the_probability_of_the_middle_of_each_crop(nodules, tiny_encoder, tmp_path):
    path = write_classifier_of_crops(tmp_path / "model.pt", tiny_encoder)
    model = read_model(path)
    scores = crop_scores(model, nodules[:3])
    network = trained_network(model.settings)
    network.load_state_dict(model.weights)
    middle = crop_of(nodules[2])[:, 32:64, 32:64].astype(np.float32)
    image = np.where((middle >= -1000) & (middle <= 400), (middle + 1000) / 1400, 0)
    with torch.no_grad():
        expected = torch.sigmoid(network.eval()(torch.from_numpy(image).float()[None]))
    assert scores[2] == pytest.approx(float(expected), abs=1e-5)
    assert len(set(scores.round(9))) == 3


def test_scores_when_trained_on_masks_then_refused(nodules, tiny_encoder, tmp_path):
    model = read_model(write_unet(tmp_path / "unet.pt", tiny_encoder))
    with pytest.raises(ValueError, match="classifiers: .* must be trained with configs/classif"):
        crop_scores(model, nodules[:1])
