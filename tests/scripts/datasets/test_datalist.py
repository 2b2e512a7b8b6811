import json
import re
import shutil

import pytest
import SimpleITK as sitk

from scripts.datasets.datalist import check_labels, content_sha256, load_datalist, read_datalist
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.datasets.training_data import training_data
from tests.scripts.datasets.prepared import write_prepared


@pytest.fixture
def datalist(tmp_path):
    return write_prepared(tmp_path / "prepared")


def test_volumes_when_one_is_in_two_partitions_then_refused(datalist):
    content = json.loads(datalist.read_text())
    entry = {"series_uid": "1.9", "image": "a.mhd", "label": "b.nii.gz"}
    content["volumes"] = {"training": [entry], "validation": [], "test": [entry]}
    datalist.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"1 volumes .* the first: 1\.9 in test and training"):
        load_datalist(datalist, "volumes/test")


def test_volumes_when_a_label_was_shifted_then_refused_before_it_is_read(datalist):
    assert len(load_datalist(datalist, "volumes/training")) == 1
    label = sitk.ReadImage(datalist.parent / "a.nii.gz")
    label.SetOrigin([mm + 60 for mm in label.GetOrigin()])
    sitk.WriteImage(label, datalist.parent / "a.nii.gz")
    with pytest.raises(ValueError, match=r"training: a: label .*a\.nii\.gz is not .* 60\.000 mm"):
        load_datalist(datalist, "volumes/training")


def test_volumes_when_a_nodule_lies_outside_then_refused(datalist):
    content = json.loads(datalist.read_text())
    nodule = {"id": 3, "diameter_mm": 5.0, "centre_lps_mm": [500, 0, 0]}
    content["volumes"]["training"][0]["nodules"] = [nodule]
    datalist.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="a: nodule 3 at .* lies outside the volume"):
        load_datalist(datalist, "volumes/training")


def test_folder_moved_as_a_whole_then_still_read(datalist, tmp_path):
    shutil.move(datalist.parent, tmp_path / "elsewhere")
    (first, _) = load_datalist(tmp_path / "elsewhere" / "datalist.json", "training")
    assert LoadSlicesd()(first)["image"].shape == (3, 6, 8)


def test_datalist_moved_without_its_arrays_then_refused(datalist, tmp_path):
    shutil.copy(datalist, tmp_path / "alone.json")
    with pytest.raises(FileNotFoundError, match=r"3 of the 3 files listed in training.*image.npy"):
        load_datalist(tmp_path / "alone.json", "training")
    with pytest.raises(FileNotFoundError, match="2 of the 2 files"):
        load_datalist(tmp_path / "alone.json", "volumes/training")


def test_content_when_prepared_again_elsewhere_then_the_same_and_with_other_samples_not(
    datalist, tmp_path
):
    before, content = content_sha256(datalist), json.loads(datalist.read_text())
    content["provenance"] = {**content.get("provenance", {}), "time": "later", "command": "other"}
    datalist.write_text(json.dumps(content))
    shutil.copytree(datalist.parent, tmp_path / "elsewhere")
    assert content_sha256(tmp_path / "elsewhere" / "datalist.json") == before
    content["training"].reverse()  # batches follow from the order
    datalist.write_text(json.dumps(content))
    assert content_sha256(datalist) != before


def test_content_when_a_file_changes_then_another_by_its_scan_s_record_or_its_bytes(datalist):
    entry = json.loads(datalist.read_text())["training"][0]
    label = datalist.parent / entry["label"]
    before = content_sha256(datalist)
    label.write_bytes(label.read_bytes() + b"x")
    changed = content_sha256(datalist)
    assert changed != before
    record = {"request": {"format": 1}, "content": "00", "stamp": "a"}
    hashes = []
    for content, stamp in (("00", "a"), ("00", "b"), ("11", "b")):  # written again; another scan
        record |= {"content": content, "stamp": stamp}
        (label.parent / "scan.json").write_text(json.dumps(record))
        hashes.append(content_sha256(datalist))
    assert hashes[0] == hashes[1] != hashes[2]
    assert changed not in hashes


def test_volumes_then_plain_absolute_paths(datalist):
    (volume,) = load_datalist(datalist, "volumes/training")
    assert volume["image"] == str(datalist.parent / "a.mhd")
    assert volume["case"] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be JSON"),
        ("[]", "must be a JSON object, got a list"),
        ('{"training": []}', "got training"),
        ('{"training": [{"image": "x"}], "validation": [], "test": []}', r"\[0\] lacks label"),
    ],
    ids=["no JSON", "a list", "a section missing", "plain volumes"],
)
def test_datalist_of_another_shape_then_refused(tmp_path, content, message):
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_datalist(tmp_path / "d.json", "training")


def test_no_datalist_or_unknown_section_then_says_what_to_do(datalist, tmp_path):
    with pytest.raises(FileNotFoundError, match="prepare DATASET` writes it"):
        load_datalist(tmp_path / "none.json", "training")
    with pytest.raises(ValueError, match="section: must be one of training, validation, test"):
        load_datalist(datalist, "train")


def test_datalist_without_volumes_then_says_how_to_get_them(datalist):
    content = json.loads(datalist.read_text())
    del content["volumes"]
    datalist.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"prepare luna16\) with --volumes true"):
        load_datalist(datalist, "volumes/training")


def test_labels_of_another_kind_then_refused_with_the_way_out(tmp_path):
    path = write_prepared(tmp_path)
    content = {**json.loads(path.read_text()), "name": "mine", "kind": "classes"}
    path.write_text(json.dumps(content))
    check_labels(path, content, kind="classes")
    check_labels(path, content)
    with pytest.raises(ValueError, match="labels of kind classes, this bundle takes instances"):
        check_labels(path, content, kind="instances")
    content["classes"] = {"0": "background", "1": "liver"}
    with pytest.raises(ValueError, match="give the names of the datalist, with --class_names"):
        check_labels(path, content, class_names=["background", "spleen"])
    with pytest.raises(ValueError, match="prepare the scans with those that the network has le"):
        check_labels(path, content, class_names=["background", "spleen"], learnt=True)
    with pytest.raises(ValueError, match="this bundle takes instances"):
        training_data(path, load_datalist(path, "training"), kind="instances")


def test_samples_when_unlabelled_are_asked_then_no_label_is_needed_or_given(datalist):
    content = json.loads(datalist.read_text())
    for entry in (*content["training"], *content["volumes"]["training"]):
        del entry["label"]
    datalist.write_text(json.dumps(content))
    (datalist.parent / "scans" / "a" / "label.npy").unlink()
    (datalist.parent / "a.nii.gz").unlink()
    first, _ = load_datalist(datalist, "training", labelled=False)
    assert "nodules" not in first
    assert LoadSlicesd(["image", "lung"])(first)["image"].shape == (3, 6, 8)
    (volume,) = load_datalist(datalist, "volumes/training", labelled=False)
    assert sitk.ReadImage(volume["image"]).GetSize() == (8, 6, 64)
    with pytest.raises(ValueError, match=r"training\[0\] lacks label"):
        load_datalist(datalist, "training")


def test_samples_when_labelled_and_unlabelled_are_asked_then_no_path_to_a_label(datalist):
    assert all("label" in entry for entry in load_datalist(datalist, "training"))
    unlabelled = load_datalist(datalist, "training", labelled=False)
    assert len(unlabelled) == 2
    assert not any({"label", "nodules"} & entry.keys() for entry in unlabelled)


def test_datalist_below_a_file_then_its_folder_asked_for(tmp_path):
    file = tmp_path / "datalist.json"
    file.write_text("{}")
    said = f"dataset_dir: {file} is a file; give the folder that holds datalist.json"
    with pytest.raises(FileNotFoundError, match=re.escape(said)):
        read_datalist(file / "datalist.json")
