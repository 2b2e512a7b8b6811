"""Figures of given labels, against voxels counted by hand."""

import numpy as np
import pytest
import torch

from scripts.retraining.self_training.division import divide
from scripts.retraining.self_training.label_figures import (
    compare_files,
    compare_maps,
    count_voxels,
    pooled_dice,
    read_label,
    unknown_share,
)
from scripts.retraining.self_training.pseudo_labels import (
    UNKNOWN_VALUE,
    PseudoLabels,
    write_pseudo_labels,
)
from tests.scripts.retraining.few_patients import SIZE, write_patients

LESION = ["background", "nodule"]
ENTRY = {"patient_id": "p", "series_uid": "s"}


def test_lesion_then_known_voxels_are_counted_and_numbers_of_lesions_do_not_matter():
    given = np.array([[1, 1, 0, 0, UNKNOWN_VALUE, UNKNOWN_VALUE]])
    drawn = np.array([[1, 0, 3, 0, 2, 0]])
    (row,) = count_voxels(given, drawn, ENTRY, LESION)
    assert (row.tp, row.fp, row.fn, row.unknown, row.voxels) == (1, 1, 1, 2, 6)
    assert row.dice_terms == (2.0, 4.0)
    assert (row.name, row.patient, row.series) == ("nodule", "p", "s")


def test_organs_then_class_by_class_without_those_not_drawn_in_the_patient():
    given = np.array([[0, 1, 2, 2, 3]])
    drawn = np.array([[0, 1, 1, 2, 0]])
    entry = {**ENTRY, "class_known": [True, True, True, False]}
    rows = count_voxels(given, drawn, entry, ["background", "liver", "bone", "kidney"])
    assert [(r.name, r.tp, r.fp, r.fn) for r in rows] == [("liver", 1, 0, 1), ("bone", 1, 1, 0)]


def test_dice_then_pooled_with_an_interval_over_patients():
    def row(patient, given):
        entry = {"patient_id": patient, "series_uid": patient}
        return count_voxels(np.array([given]), np.array([[1, 1, 0, 0]]), entry, LESION)

    rows = [*row("a", [1, 1, 0, 0]), *row("b", [0, 0, 0, UNKNOWN_VALUE])]
    figure = pooled_dice(rows, seed=0)["nodule"]
    assert figure.value == pytest.approx(4 / 6)
    assert figure.patients == 2
    assert figure.interval_95 == (0.0, 1.0)
    assert unknown_share(rows) == 1 / 8
    assert pooled_dice([], seed=0) == {}
    assert unknown_share([]) == 0


def test_files_then_each_slice_with_its_own_drawn_label(tmp_path):
    division = divide(write_patients(tmp_path / "prepared"), ["A", "B"])
    drawn = division.entries(division.unlabelled)
    truth = [np.load(one["label"])[number % 3] > 0 for number, one in enumerate(drawn)]
    maps = [
        (image, torch.from_numpy(mask[None].astype(np.float32)))
        for image, mask in zip(division.images(), truth, strict=True)
    ]
    entries = write_pseudo_labels(maps, tmp_path / "labels", PseudoLabels())
    rows = compare_files(entries, drawn, LESION)
    assert pooled_dice(rows, seed=0)["nodule"].value == 1.0
    assert [row.tp for row in rows] == [int(mask.sum()) for mask in truth]
    assert compare_files(entries, drawn[:3], LESION) == rows[:3]  # drawn for some only


def test_maps_then_the_most_probable_class_of_all_voxels(tmp_path):
    division = divide(write_patients(tmp_path / "prepared"), ["A"])
    (entry, *_) = division.entries(["T"], partition="test")
    drawn = np.load(entry["label"])[0] > 0
    probabilities = torch.from_numpy(np.where(drawn, 0.6, 0.3).astype(np.float32))[None]
    (row,) = compare_maps([(entry, probabilities)], LESION, PseudoLabels())
    assert (row.tp, row.fp, row.fn, row.unknown) == (int(drawn.sum()), 0, 0, 0)
    assert row.voxels == SIZE * SIZE


def test_volumes_then_each_voxel_with_the_one_at_its_place(tmp_path):
    datalist = write_patients(tmp_path / "prepared", volumes=True)
    division = divide(datalist, ["A", "B"], prefix="volumes/")
    drawn = division.entries(division.unlabelled)
    truth = [read_label(one) > 0 for one in drawn]  # (Z, Y, X)
    maps = [
        (image, torch.from_numpy(mask.transpose(2, 1, 0)[None].astype(np.float32)))
        for image, mask in zip(division.images(), truth, strict=True)
    ]
    stacks = [np.load(tmp_path / "prepared" / "scans" / p / "label.npy") > 0 for p in "CD"]
    assert all(np.array_equal(*pair) for pair in zip(truth, stacks, strict=True))
    entries = write_pseudo_labels(maps, tmp_path / "labels", PseudoLabels())
    rows = compare_files(entries, drawn, LESION)
    assert [(row.tp, row.fp, row.fn) for row in rows] == [(int(m.sum()), 0, 0) for m in truth]
    labelled = [(entry, found) for entry, (_, found) in zip(drawn, maps, strict=True)]
    assert compare_maps(labelled, LESION, PseudoLabels()) == rows
