import json

import numpy as np
import pytest

from scripts.bundle.model_file import ModelFile
from scripts.bundle.training_scans import TrainingScans, hashed_case
from scripts.datasets.datalist import load_datalist
from scripts.datasets.training_data import (
    has_thick_slices,
    identities,
    training_data,
    training_mean,
)
from tests.scripts.datasets.prepared import write_prepared


@pytest.fixture
def datalist(tmp_path):
    return write_prepared(tmp_path / "prepared")


def test_identities_when_label_voxels_or_the_split_change_then_that_one_differs(datalist):
    samples = load_datalist(datalist, "training")
    before = identities({"training": samples})
    label = np.load(samples[0]["label"])
    label[1, 0, 0] += 1
    np.save(samples[0]["label"], label)
    changed = identities({"training": samples})
    assert changed["labels"] != before["labels"]
    assert changed["slices"] == before["slices"]
    assert identities({"validation": samples})["slices"] != before["slices"]


def test_identities_of_whole_volumes_then_of_their_label_files(tmp_path):
    (tmp_path / "label.nii").write_bytes(b"a")
    sample = {"image": "image.nii", "label": str(tmp_path / "label.nii")}
    before = identities({"training": [sample]})
    (tmp_path / "label.nii").write_bytes(b"b")
    assert identities({"training": [sample]})["labels"] != before["labels"]


MEAN = {"hu": -460.0, "windowed": 0.19, "window_hu": [-150.0, 250.0], "outside_window": "clip"}


@pytest.fixture
def write(tmp_path):
    def write(**content):
        sections = {"training": [], "validation": [], "test": []}
        path = tmp_path / "datalist.json"
        path.write_text(json.dumps({**sections, **content}))
        return path

    return write


def test_mean_then_is_that_of_the_windowed_images(write):
    assert training_mean(write(training_mean=MEAN), [-150, 250]) == 0.19


@pytest.mark.parametrize(
    ("window", "outside"), [([-200, 250], "clip"), ([-150, 250], "zero")], ids=["window", "outside"]
)
def test_mean_of_another_window_then_is_refused(write, window, outside):
    with pytest.raises(ValueError, match=r"mean after the window \[-150.0, 250.0, 'clip'\]"):
        training_mean(write(training_mean=MEAN), window, outside_window=outside)


def test_datalist_without_a_mean_then_is_refused(write):
    with pytest.raises(ValueError, match="no mean of the training images; prepare again"):
        training_mean(write(), [-150, 250])


def test_training_data_when_the_config_names_other_classes_then_refused(tmp_path):
    path = write_prepared(tmp_path)
    content = {**json.loads(path.read_text()), "classes": {"0": "background", "1": "spleen"}}
    path.write_text(json.dumps(content))
    samples = load_datalist(path, "training")
    assert training_data(path, samples, ["background", "spleen"]) == training_data(path, samples)
    with pytest.raises(ValueError, match=r"has \['background', 'spleen'\], the config .*'liver'"):
        training_data(path, samples, ["background", "liver"])


def test_training_data_then_labels_and_hashed_cases_without_any_name(tmp_path):
    samples = [{"series_uid": uid, "label_kind": "ball"} for uid in ("1.2", "1.3", "1.2")]
    data = training_data(tmp_path / "none.json", samples)
    assert (data["labels"], data["samples"], len(data["cases"])) == (["ball"], 3, 2)
    assert hashed_case("1.3", data["salt"]) in data["cases"]
    assert hashed_case("1.4", data["salt"]) not in data["cases"]
    assert "1.2" not in str(data["cases"])
    assert training_data(tmp_path / "none.json", samples[1:]) == data | {"samples": 2}


def test_training_data_then_validation_and_test_cases_and_data_set_without_folders(tmp_path):
    path = tmp_path / "datalist.json"
    entries = {
        name: [{"series_uid": uid, "patient_id": uid[0], "slice": 0} for uid in uids]
        for name, uids in {
            "training": ["a1", "a2"],
            "validation": ["b"],
            "test": ["c", "d"],
        }.items()
    }
    entries["test"][0]["scan_uid"] = "1.2.3"
    known = {"label": "readers", "min_readers": 2, "readers_xml": "/home/me", "split": {}}
    known |= {"segments": {"liver": ["Leber"]}, "overlaps": "last"}
    path.write_text(json.dumps({"name": "luna16", **entries, "provenance": known}))
    data = training_data(path, entries["training"])
    scans = TrainingScans.of(ModelFile(path, {}, {}, {"data": data}))
    asked = dict.fromkeys(("a1", "b"), (scans.includes, scans.was_selected_by, scans.set_aside))
    assert [each(["a1"]) for each in asked["a1"]] == [True, False, False]
    assert [each(["b"]) for each in asked["b"]] == [False, True, False]
    asked_for = [scans.set_aside([name]) for name in ("d", "1.2.3", "e")]
    assert asked_for == [True, True, False]
    assert data["partitions"]["training"] == {"samples": 2, "cases": 2, "patients": 1}
    assert (scans.test_cases, data["partitions"]["test"]["patients"]) == (2, 2)
    assert data["data_set"] == {
        **{"name": "luna16", "label": "readers", "min_readers": 2},
        **{"segments": {"liver": ["Leber"]}, "overlaps": "last"},
    }


def scan(uid, pixel, distance):
    return {"series_uid": uid, "spacing_mm": [pixel, pixel, distance]}


@pytest.mark.parametrize(
    ("samples", "thick"),
    [
        ([scan("a", 0.7, 1.5)], True),
        ([scan("a", 0.8, 1.5)], False),
        ([scan("a", 0.7, 3), scan("a", 0.7, 3), scan("b", 0.7, 1), scan("c", 0.7, 1)], False),
        ([], False),
    ],
    ids=["two pixels apart", "less", "most scans count", "no data"],
)
def test_thick_slices_then_as_far_apart_as_two_pixels_in_most_scans(samples, thick):
    assert has_thick_slices("auto", samples) is thick
    assert has_thick_slices("true", samples) is True
    assert has_thick_slices(False, samples) is False


def test_thick_slices_when_another_word_then_refused():
    with pytest.raises(ValueError, match="thick_slices: must be true, false"):
        has_thick_slices("perhaps", [])
