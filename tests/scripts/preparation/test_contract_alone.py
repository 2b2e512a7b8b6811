"""A data set that no module of the project knows is prepared through the contract alone."""

import json

import nibabel
import numpy as np
import pytest

from scripts.datasets.datalist import load_datalist
from scripts.datasets.known import KNOWN
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.preparation.prepare_command import help_of, prepare, signature_of
from tests.scripts.datasets.dataset_contract import DataSetContract
from tests.scripts.preparation.made_up import AFFINE, ENTRY, MadeUp, write_boxes


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(KNOWN, "made_up", ENTRY)


class TestMadeUp(DataSetContract):
    @pytest.fixture
    def made(self, tmp_path):
        return MadeUp(brightness=5), write_boxes(tmp_path / "in")


@pytest.fixture
def source(tmp_path):
    return write_boxes(tmp_path / "in")


def prepared(source, **options):
    output = source.parent / "out"
    prepare("made_up", source=str(source), output=str(output), **{"jobs": 1, **options})
    return json.loads((output / "datalist.json").read_text()), output


def test_split_of_its_own_then_divided_by_it(source):
    datalist, _ = prepared(source, split="hospital")
    patients = {name: {s["patient_id"] for s in datalist[name]} for name in PARTITIONS}
    assert patients == {
        "training": {"patient of one"},
        "validation": {"patient of two"},
        "test": {"patient of three"},
    }


def test_datalist_then_what_the_data_set_says_of_itself(source):
    datalist, _ = prepared(source, brightness=5, window_hu=[-50, 50])
    assert (datalist["name"], datalist["kind"]) == ("made_up", "classes")
    assert datalist["classes"] == {"0": "background", "1": "small box", "2": "large box"}
    assert datalist["window_hu"] == datalist["training_mean"]["window_hu"] == [-50, 50]
    assert datalist["provenance"]["brightness"] == 5
    samples = [sample for name in PARTITIONS for sample in datalist[name]]
    assert {sample["label_kind"] for sample in samples} == {"boxes"}
    known = {sample["series_uid"]: sample["class_known"] for sample in samples}
    assert known["one"] == [True, True, True]
    assert known["three"] == [True, True, False]


def test_samples_then_the_slices_that_were_read(source):
    _, output = prepared(source, brightness=5)
    for name in PARTITIONS:
        for sample in load_datalist(output / "datalist.json", name):
            with np.load(source / f"{sample['series_uid']}.npz") as arrays:
                hu, label = arrays["hu"] + 5, arrays["label"]
            loaded = LoadSlicesd(("image", "label"))(sample)
            k = sample["slice"]
            np.testing.assert_array_equal(loaded["image"][1].numpy(), hu[k])
            np.testing.assert_array_equal(loaded["label"][0].numpy(), label[k])


def test_volumes_then_image_and_label_on_one_grid(source):
    datalist, output = prepared(source)
    (entry,) = datalist["volumes"]["test"]
    image, label = (nibabel.load(output / entry[key]) for key in ("image", "label"))
    np.testing.assert_array_equal(image.affine, label.affine)
    np.testing.assert_allclose(image.affine, np.diag([-1, -1, 1, 1]) @ AFFINE)


def test_slices_with_an_organ_then_any_class_counts(source):
    datalist, _ = prepared(source, slices="organ")
    assert {s["slice"] for n in PARTITIONS for s in datalist[n] if s["series_uid"] == "one"} == {
        *range(2, 7)
    }


def test_two_processes_then_the_same_and_again_nothing_is_read(source, monkeypatch, capsys):
    one, _ = prepared(source, jobs=2)
    monkeypatch.setattr(MadeUp, "read", None)
    two, _ = prepared(source)
    assert "3 of 3 prepared, 3 of them kept" in capsys.readouterr().out
    assert {**one, "provenance": 0} == {**two, "provenance": 0}


def test_own_option_changed_then_made_again(source, capsys):
    prepared(source)
    prepared(source, brightness=1)
    assert "kept" not in capsys.readouterr().out


def test_scan_without_hospital_then_left_out_and_exit_code_1(tmp_path, capsys):
    source = write_boxes(tmp_path / "in", ("a", "b", "c", "d"))
    with pytest.raises(SystemExit) as stop:
        prepared(source)
    assert stop.value.code == 1
    printed = capsys.readouterr().out
    assert "scans: 3 of 4 prepared" in printed
    assert "d: hospitals.json: has no hospital [scan left out]" in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["scans"]["left_out"] == ["d"]
    assert report["hospitals"] == ["A", "B", "C"]


def test_options_then_those_of_its_kind_and_its_own():
    parameters = signature_of("made_up").parameters
    assert parameters["brightness"].default == 0
    assert parameters["window_hu"].default == (-100.0, 100.0)
    assert "empty_share" not in parameters
    assert "brightness: HU that is added to every voxel, so that" in help_of("made_up")
    assert "hospital (by the hospital that scanned)" in help_of("made_up")


def test_too_few_scans_then_said_which_ones_are_not_used_and_why(source):
    (source / "hospitals.json").write_text(json.dumps({"one": "A", "two": "B"}))
    np.savez(source / "four.npz", hu=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"at least 3 patients.*not used: four: .*has no hospital.*three"
    ):
        prepared(source)


def test_output_of_another_data_set_then_refused_and_kept(source):
    output = source.parent / "out"
    output.mkdir()
    (output / "datalist.json").write_text(json.dumps({"name": "luna16", "kind": "instances"}))
    with pytest.raises(ValueError, match="holds luna16 with labels of kind instances"):
        prepared(source)
    assert json.loads((output / "datalist.json").read_text())["name"] == "luna16"


@pytest.mark.parametrize("partition", ["validation", "test"])
def test_split_of_one_partition_then_every_scan_there_and_no_mean_of_a_training(
    source, capsys, partition
):
    datalist, _ = prepared(source, split=f"{partition}_only")
    (other,) = {"validation", "test"} - {partition}
    assert datalist["training"] == datalist[other] == []
    assert {sample["series_uid"] for sample in datalist[partition]} == {"one", "two", "three"}
    assert len(datalist["volumes"][partition]) == 3
    assert "training_mean" not in datalist
    assert f"{partition}: " in capsys.readouterr().out
