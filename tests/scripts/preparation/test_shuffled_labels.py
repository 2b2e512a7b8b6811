"""A control: images with the labels of other patients."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from scripts.bundle.training_scans import SHUFFLED
from scripts.datasets.datalist import load_datalist
from scripts.datasets.training_data import training_data
from scripts.preparation.shuffled_labels import other_patients, shuffle_labels
from scripts.volumes.formats.nifti import nifti_of

PATIENTS = {"training": ["A", "B", "C"], "validation": ["D"], "test": ["E"]}
SIZES = {"A": 4, "B": 6, "C": 4, "D": 8, "E": 4}


def write_prepared(folder):
    """Two slices and a volume of each patient; every voxel of a label has the patient's number."""
    content = {"name": "luna16", "kind": "instances", "classes": {"0": "background", "1": "nodule"}}
    content |= {name: [] for name in PATIENTS}
    content["volumes"] = {name: [] for name in PATIENTS}
    for number, (partition, patient) in enumerate(
        ((partition, patient) for partition, names in PATIENTS.items() for patient in names), 1
    ):
        size, affine = SIZES[patient], np.diag([1.0, 1.0, 2.0, 1.0])
        shape = (3, size, size)
        for kind, array in (
            ("image", np.zeros(shape, np.int16)),
            ("label", np.full(shape, number)),
        ):
            np.save(
                folder / f"{patient}_{kind}.npy", array.astype(np.uint8 if "l" in kind else "i2")
            )
            volume = nifti_of(array.astype(np.int16), affine)
            nibabel.save(volume, folder / f"{patient}_{kind}.nii.gz")
        of_scan = {"series_uid": f"1.{number}", "patient_id": patient, "label_kind": "masks"}
        of_scan |= {"scan_uid": f"2.{number}", "crop": True}
        of_scan["excluded"] = [{"centre_lps_mm": [1, 1, 1], "diameter_mm": 3}]
        of_scan["nodules"] = [{"id": number, "diameter_mm": number, "centre_lps_mm": [1, 1, 1]}]
        files = {kind: f"{patient}_{kind}.npy" for kind in ("image", "label")}
        for row in (0, 1):
            place = {"rows": [row, row + 1, row + 2][:1], "slice": row + 5}
            content[partition].append(
                {
                    **files,
                    **of_scan,
                    **place,
                    "affine_lps": affine.tolist(),
                    "spacing_mm": [1, 1, 2],
                }
            )
        whole = {kind: f"{patient}_{kind}.nii.gz" for kind in ("image", "label")}
        content["volumes"][partition].append({**whole, **of_scan, "spacing_mm": [1, 1, 2]})
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder / "datalist.json"


@pytest.fixture
def prepared(tmp_path):
    (tmp_path / "prepared").mkdir()
    return write_prepared(tmp_path / "prepared")


def shuffled(datalist, folder, seed=0):
    shuffle_labels(str(datalist), str(folder), seed=seed)
    return folder / "datalist.json"


NUMBERS = {patient: 1 + number for number, patient in enumerate("ABCDE")}


def test_slices_then_each_has_the_label_of_another_patient_and_its_own_image(prepared, tmp_path):
    made, own = shuffled(prepared, tmp_path / "out"), load_datalist(prepared, "training")
    donors = []
    for partition in ("training", "validation"):
        for entry in load_datalist(made, partition):
            label = np.load(entry["label"])[entry["rows"][0]]
            (number,) = np.unique(label)
            assert number not in (0, NUMBERS[entry["patient_id"]], NUMBERS["E"])
            assert label.shape == np.load(entry["image"]).shape[1:]
            assert entry["nodules"] == [{"id": number, "diameter_mm": number}]
            assert entry["label_kind"] == SHUFFLED
            assert entry["scan_uid"] == f"2.{NUMBERS[entry['patient_id']]}", "that of its image"
            assert "excluded" not in entry, "positions in another patient"
            donors.append(int(number))
    assert sorted(donors) == [1, 1, 2, 2, 3, 3, 4, 4]
    images = [(one["image"], one["slice"]) for one in load_datalist(made, "training")]
    assert images == [(one["image"], one["slice"]) for one in own]


def test_volumes_then_the_same_patients_and_the_grid_of_the_image(prepared, tmp_path):
    made = shuffled(prepared, tmp_path / "out")
    given = json.loads(made.read_text())["provenance"][SHUFFLED]["labels_of"]
    for partition in ("training", "validation"):
        for entry in load_datalist(made, f"volumes/{partition}"):  # which compares the grids
            (number,) = np.unique(nibabel.load(entry["label"]).get_fdata())
            assert number == NUMBERS[given[entry["patient_id"]]]


def test_test_partition_then_its_entries_and_files_are_those_before(prepared, tmp_path):
    made = shuffled(prepared, tmp_path / "out")
    for section in ("test", "volumes/test"):
        assert load_datalist(made, section) == load_datalist(prepared, section)


def test_seed_then_decides_who_gets_which_labels(prepared, tmp_path):
    chosen = [other_patients("ABCD", seed) for seed in range(6)]
    assert all(one != other for each in chosen for one, other in each.items())
    assert len({tuple(sorted(each.items())) for each in chosen}) > 1
    first, again = (shuffled(prepared, tmp_path / name, seed=3) for name in ("a", "b"))
    labels = [[np.load(e["label"]) for e in load_datalist(f, "training")] for f in (first, again)]
    assert all(np.array_equal(*pair) for pair in zip(*labels, strict=True))


def test_training_then_its_record_says_that_it_is_a_control(prepared, tmp_path):
    made = shuffled(prepared, tmp_path / "out")
    assert training_data(made, load_datalist(made, "training"))["labels"] == [SHUFFLED]


def test_joined_data_sets_then_refused(prepared, tmp_path):
    content = json.loads(prepared.read_text())
    prepared.write_text(json.dumps({**content, "domains": {"nodules": {}, "organs": {}}}))
    with pytest.raises(ValueError, match="joins nodules, organs, and labels of one mean nothing"):
        shuffle_labels(str(prepared), str(tmp_path / "out"))


def test_one_patient_or_no_labels_then_refused(prepared, tmp_path):
    content = json.loads(prepared.read_text())
    del content["training"][0]["label"]
    prepared.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"1\.1 has no label; a control needs the labels"):
        shuffle_labels(str(prepared), str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"two or more; got 1"):
        other_patients(["A", "A"], 0)
