import json

import numpy as np
import pytest

from scripts.datasets.datalist import load_datalist
from scripts.unsupervised.sae.examples import read_examples
from scripts.unsupervised.sae.patches import PatchReader, PatchShape
from tests.scripts.unsupervised.patch_cohort import write_cohort

READER = PatchReader(PatchShape(3, 3, ((-1000.0, 1000.0),)), (0.0,), (1.0,))


def middle_hu(examples):
    return 2000 * examples.patches[:, 13] - 1000


def test_nodules_then_voxels_of_their_boxes_labelled_0_and_1(tmp_path):
    cases = load_datalist(write_cohort(tmp_path), "training")
    found = read_examples(cases, READER, "instances", count=400, seed=0)
    assert len(found.patches) == len(found.place) == len(found.labels) == 400
    assert set(found.labels) == {0, 1}
    assert middle_hu(found)[found.labels == 1].mean() == pytest.approx(20, abs=15)
    assert np.linalg.norm(found.place[found.labels == 1], axis=1).max() < 1.01
    assert np.linalg.norm(found.place[found.labels == 0], axis=1).min() > 0.99


def test_slice_without_a_nodule_then_without_a_voxel(tmp_path):
    cases = load_datalist(write_cohort(tmp_path), "training")
    found = read_examples(
        [{**cases[0], "nodules": []}, cases[1]], READER, "instances", count=99, seed=0
    )
    alone = read_examples([cases[1]], READER, "instances", count=99, seed=0)
    assert len(found.labels) == len(alone.labels)


def test_organs_then_each_class_and_its_hu(tmp_path):
    cases = load_datalist(write_cohort(tmp_path, kind="classes"), "training")
    found = read_examples(cases, READER, "classes", count=2000, seed=0)
    hu = [middle_hu(found)[found.labels == value].mean() for value in (0, 1, 2)]
    assert hu == pytest.approx([20, 120, 700], abs=60)


def test_class_not_annotated_in_a_patient_then_no_background_of_that_patient(tmp_path):
    cases = load_datalist(write_cohort(tmp_path, kind="classes"), "training")
    partly = {**cases[0], "class_known": [True, True, False]}
    labels = read_examples([partly, cases[1]], READER, "classes", count=10**6, seed=0).labels
    alone = read_examples([cases[1]], READER, "classes", count=10**6, seed=0).labels
    assert (labels == 0).sum() == (alone == 0).sum()
    assert (labels == 1).sum() > (alone == 1).sum()


def test_class_annotated_nowhere_then_background_is_background(tmp_path):
    cases = load_datalist(write_cohort(tmp_path, kind="classes"), "training")
    partly = [{**case, "class_known": [True, True, False]} for case in cases]
    assert (read_examples(partly, READER, "classes", count=500, seed=0).labels == 0).any()


def test_many_slices_then_some_voxels_of_each_are_kept(tmp_path, monkeypatch):
    cases = load_datalist(write_cohort(tmp_path, kind="classes"), "training")
    monkeypatch.setattr("scripts.unsupervised.sae.patches.MOST_OF_ALL", 400)
    found = read_examples(cases, READER, "classes", count=10**6, seed=0)
    assert len(found.labels) == 4 * 2 * 100


def test_one_label_only_then_refused(tmp_path):
    path = write_cohort(tmp_path)
    content = json.loads(path.read_text())
    for sample in content["training"]:
        np.save(tmp_path / sample["label"], np.zeros((3, 40, 44), np.uint8))
    with pytest.raises(ValueError, match="datalist: the 4 training slices must have voxels of two"):
        read_examples(load_datalist(path, "training"), READER, "instances", count=50, seed=0)
