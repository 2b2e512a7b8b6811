"""Labelled and unlabelled patients: who is which, and what of them is written."""

import json
from pathlib import Path

import pytest

from scripts.datasets.datalist import load_datalist
from scripts.datasets.shares import leaks
from scripts.retraining.self_training.division import divide
from tests.scripts.retraining.few_patients import write_patients


@pytest.fixture
def datalist(tmp_path):
    return write_patients(tmp_path / "prepared")


def test_number_of_patients_then_so_many_and_more_include_the_fewer_ones(datalist):
    drawn = [divide(datalist, count, seed=3) for count in (1, 2, 3)]
    assert [len(one.labelled) for one in drawn] == [1, 2, 3]
    assert set(drawn[0].labelled) < set(drawn[1].labelled) < set(drawn[2].labelled)
    for one in drawn:
        assert sorted([*one.labelled, *one.unlabelled]) == ["A", "B", "C", "D"]
    assert divide(datalist, 0.5, seed=3) == drawn[1]
    assert divide(datalist, 0.01, seed=3) == drawn[0]  # at least one
    assert len({divide(datalist, 1, seed=seed).labelled for seed in range(8)}) > 1


def test_names_then_these_and_without_any_those_that_have_a_label(datalist):
    assert divide(datalist, ["B", "D"]).labelled == ("B", "D")
    content = json.loads(datalist.read_text())
    for entry in content["training"]:
        if entry["patient_id"] in "AC":
            del entry["label"]
    datalist.write_text(json.dumps(content))
    division = divide(datalist, None)
    assert (division.labelled, division.unlabelled) == (("B", "D"), ("A", "C"))
    assert set(divide(datalist, 2).labelled) == {"B", "D"}


@pytest.mark.parametrize(
    ("patients", "reason"),
    [
        (4, "must leave labelled and unlabelled ones of the 4 training patients, .* got 4"),
        (0, "labelled_patients: .* got 0"),
        (["A", "V"], "labelled_patients: .* got 'V', which is none of them"),
        (None, "labelled_patients: .* got 4"),
    ],
)
def test_patients_when_none_is_left_or_unknown_then_refused(datalist, patients, reason):
    with pytest.raises(ValueError, match=reason):
        divide(datalist, patients)


def test_patient_in_two_partitions_then_refused(datalist):
    content = json.loads(datalist.read_text())
    content["validation"].append(content["training"][0])
    datalist.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="datalist: 1 patients are in several partitions"):
        divide(datalist, 2)


def test_images_of_unlabelled_patients_then_nothing_that_annotation_says(datalist):
    content = json.loads(datalist.read_text())
    content["training"] = [{**one, "scan_uid": "2.5", "crop": True} for one in content["training"]]
    datalist.write_text(json.dumps(content))
    division = divide(datalist, ["A", "B"])
    images = division.images()
    assert [one["patient_id"] for one in images] == ["C"] * 3 + ["D"] * 3
    for one in images:
        assert not {"label", "nodules", "label_kind"} & set(one)
        assert Path(one["image"]).is_file()
        assert (one["scan_uid"], one["crop"]) == ("2.5", True), "by which training knows its scan"


def test_written_data_set_then_loads_and_has_no_volume_or_label_of_others(datalist, tmp_path):
    content = json.loads(datalist.read_text())
    names = {"A": "training", "C": "training", "V": "validation", "T": "test"}
    content["volumes"] = {"training": [], "validation": [], "test": []}
    for patient, partition in names.items():
        volume = {"image": f"{patient}.mhd", "label": f"{patient}.nii.gz", "patient_id": patient}
        content["volumes"][partition].append({**volume, "series_uid": patient})
    datalist.write_text(json.dumps(content))
    division = divide(datalist, ["A", "B"])
    given = [{**one, "label": str(tmp_path / "out" / "given.npy")} for one in division.images()]
    own = division.entries(division.labelled)
    written = division.write(tmp_path / "out", [*own, *given], {"sure": 0.9})
    made = json.loads(written.read_text())
    assert not leaks(made)
    assert [v["patient_id"] for v in made["volumes"]["training"]] == ["A"]
    assert made["training"][-1]["label"] == "given.npy"
    assert made["provenance"]["self_training"] == {"sure": 0.9}
    assert made["provenance"]["slices"] == "central"
    assert made["classes"] == content["classes"]
    for section in ("validation", "test"):
        (first, *_) = load_datalist(written, section)
        assert first["label"] == str(datalist.parent / "scans" / first["patient_id"] / "label.npy")
    (tmp_path / "out" / "given.npy").write_bytes(b"")
    assert len(load_datalist(written, "training")) == 12


def test_entries_when_all_are_labelled_then_with_their_own_labels(datalist):
    division = divide(datalist, ["A"])
    assert [one["patient_id"] for one in division.all_labelled()] == [
        p for p in "ABCD" for _ in "123"
    ]


def test_volumes_then_they_get_labels_and_slices_of_others_are_left_out(tmp_path):
    datalist = write_patients(tmp_path / "prepared", volumes=True)
    division = divide(datalist, ["A", "B"], prefix="volumes/")
    images = division.images()
    assert [one["patient_id"] for one in images] == ["C", "D"]
    assert all(one["image"].endswith(".nii.gz") and "label" not in one for one in images)
    given = [{**one, "label": "given.nii.gz"} for one in images]
    own = division.entries(division.labelled)
    made = json.loads(division.write(tmp_path / "out", [*own, *given], {}).read_text())
    assert [one["patient_id"] for one in made["volumes"]["training"]] == ["A", "B", "C", "D"]
    assert {one["patient_id"] for one in made["training"]} == {"A", "B"}
    assert {one["patient_id"] for one in made["test"]} == {"T"}


def test_data_set_without_volumes_then_refused(datalist):
    with pytest.raises(ValueError, match="lists no volumes, .* --volumes true"):
        divide(datalist, 2, prefix="volumes/")
