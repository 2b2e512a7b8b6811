import json

import nibabel
import numpy as np
import pytest
from monai.data import list_data_collate

from scripts.datasets.datalist import load_datalist
from scripts.datasets.ircadb.ircadb_dataset import Ircadb
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.preparation.prepare_command import command_of
from tests.scripts.datasets.dataset_contract import DataSetContract
from tests.scripts.datasets.ircadb.dicom_images import (
    ORIGIN,
    block,
    hu_volume,
    images,
    masks,
    patient_files,
    write_cohort,
)
from tests.scripts.datasets.ircadb.preparing import every_sample, run
from tests.scripts.datasets.ircadb.zips import write_files

LABEL = np.zeros(masks()["liver"].shape, np.uint8)
for part, value in (("bone", 2), ("leftkidney", 3), ("right_Kidney", 3), ("liver", 1)):
    LABEL[masks()[part] > 0] = value


class TestIrcadb(DataSetContract):
    @pytest.fixture
    def made(self, tmp_path):
        return Ircadb(tumour=True), write_cohort(tmp_path / "in", 3)


def test_cohort_then_every_slice_of_every_patient_in_one_section(source):
    datalist, _ = run(source)
    patients = [{s["patient_id"] for s in datalist[name]} for name in ("training", "test")]
    assert patients[0].isdisjoint(patients[1])
    assert len(every_sample(datalist)) == 4 * 6
    assert {s["patient_id"]: s["known_classes"] for s in every_sample(datalist)} == {
        "3Dircadb1.1": [0, 1, 2, 3],
        "3Dircadb1.2": [0, 1, 2, 3],
        "3Dircadb1.3": [0, 1, 2],
        "3Dircadb1.4": [0, 1, 2, 3],
    }
    assert datalist["classes"] == {"0": "background", "1": "liver", "2": "bone", "3": "kidney"}


@pytest.mark.parametrize("number", [1, 2], ids=["rising-z", "falling-z"])
def test_arrays_then_hu_and_classes_from_feet_to_head(source, number):
    _, output = run(source)
    folder = output / "scans" / f"3Dircadb1.{number}"
    image, label = np.load(folder / "image.npy"), np.load(folder / "label.npy")
    assert (image.dtype, label.dtype) == (np.int16, np.uint8)
    np.testing.assert_array_equal(image, hu_volume(number))
    np.testing.assert_array_equal(label, LABEL)


def test_samples_then_loaded_as_those_of_luna16(source):
    datalist, output = run(source)
    samples = [
        sample
        for section in ("training", "validation", "test")
        for sample in load_datalist(output / "datalist.json", section)
    ]
    batch = list_data_collate([LoadSlicesd(("image", "label"))(sample) for sample in samples])
    assert batch["image"].shape == (24, 3, 8, 10)
    assert batch["label"].shape == (24, 1, 8, 10)
    known = dict(
        zip((s["patient_id"] for s in samples), batch["class_known"].tolist(), strict=True)
    )
    assert known["3Dircadb1.3"] == [True, True, True, False]
    first = next(s for s in samples if s["patient_id"] == "3Dircadb1.2" and s["slice"] == 0)
    loaded = LoadSlicesd(("image", "label"))(first)
    hu = hu_volume(2)
    np.testing.assert_array_equal(loaded["image"].numpy(), hu[[0, 0, 1]])
    assert datalist["provenance"]["split"] == {
        "kind": "patient",
        "seed": 0,
        "shares": [8, 1, 1],
    }


def test_volumes_then_where_the_dicom_says_with_the_same_classes(source):
    datalist, output = run(source)
    entries = [entry for section in datalist["volumes"].values() for entry in section]
    entry = next(e for e in entries if e["patient_id"] == "3Dircadb1.2")
    image, label = (nibabel.load(output / entry[kind]) for kind in ("image", "label"))
    np.testing.assert_array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), hu_volume(2))
    np.testing.assert_array_equal(np.asarray(label.dataobj).transpose(2, 1, 0), LABEL)
    assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
    np.testing.assert_allclose(image.affine @ [0, 0, 0, 1], [-ORIGIN[0], -ORIGIN[1], ORIGIN[2], 1])
    np.testing.assert_allclose(image.header.get_zooms(), [0.7, 0.8, 2], rtol=1e-6)
    assert len(entries) == 4


def test_no_volumes_then_none_written_or_listed(source):
    datalist, output = run(source, volumes=False)
    assert "volumes" not in datalist
    assert not (output / "volumes").exists()


def test_tumour_then_a_fifth_class(source):
    datalist, output = run(source, tumour=True)
    label = np.load(output / "scans" / "3Dircadb1.1" / "label.npy")
    np.testing.assert_array_equal(label == 4, masks()["livertumor01"] > 0)
    assert datalist["classes"]["4"] == "liver tumour"
    assert every_sample(datalist)[0]["known_classes"][-1] == 4


def test_mean_then_over_the_training_slices_alone(source):
    datalist, _ = run(source, window_hu=(-100, 300), slices="organ")
    mean = datalist["training_mean"]
    hu = np.stack(
        [hu_volume(int(s["patient_id"][-1]))[s["slice"]] for s in datalist["training"]]
    ).astype(float)
    assert mean["hu"] == pytest.approx(hu.mean())
    assert mean["windowed"] == pytest.approx(np.clip((hu + 100) / 400, 0, 1).mean(), abs=1e-6)
    assert mean["window_hu"] == [-100, 300]
    assert mean["slices"] == len(datalist["training"]) == len(hu)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"slices": "organ"}, [0, 1, 2, 3, 4]),
        ({"every": 3}, [0, 3]),
        ({"slices": "organ", "every": 2}, [0, 2, 4]),
    ],
    ids=["organ", "every-third", "both"],
)
def test_fewer_slices_then_only_those_with_their_neighbours(source, options, numbers):
    datalist, output = run(source, **options)
    mine = [s for s in every_sample(datalist) if s["patient_id"] == "3Dircadb1.1"]
    assert [s["slice"] for s in mine] == numbers
    stack = np.load(output / "scans" / "3Dircadb1.1" / "image.npy")
    for sample in mine:
        k = sample["slice"]
        around = [max(k - 1, 0), k, min(k + 1, 5)]
        np.testing.assert_array_equal(stack[sample["rows"]], hu_volume(1)[around])


@pytest.mark.parametrize("neighbours", [0, 2])
def test_neighbours_then_so_many_rows_a_sample(source, neighbours):
    datalist, _ = run(source, neighbours=neighbours)
    assert {len(s["rows"]) for s in every_sample(datalist)} == {2 * neighbours + 1}


def test_random_slices_then_said_to_leak(source, capsys):
    datalist, output = run(source, split="slice_random")
    assert [len(datalist[s]) for s in ("training", "validation", "test")] == [19, 5, 0]
    assert "LEAK: split slice_random" in capsys.readouterr().out
    assert json.loads((output / "report.json").read_text())["patients_in_several_partitions"]


def test_single_patient_then_blocks_of_slices(tmp_path):
    source = write_cohort(tmp_path / "in", 1)
    datalist, _ = run(source, split="slice_block", block=2, neighbours=0)
    assert all(datalist[section] for section in ("training", "validation", "test"))
    assert "volumes" not in datalist  # the patient's volume would be in all three


def test_folds_then_another_patient_tests(source):
    tested = set()
    for fold in range(4):
        datalist, _ = run(source, split="fold", folds=4, test_fold=fold)
        tested |= {s["patient_id"] for s in datalist["test"]}
    assert len(tested) == 4


def test_one_patient_cannot_be_used_then_reported_and_exit_code_1(source, capsys):
    ct = images(hu_volume())
    del ct["image_3"]
    write_files(source, patient_files(5, ct=ct))
    with pytest.raises(SystemExit) as stop:
        run(source)
    assert stop.value.code == 1
    assert "1 missing between image_2 and image_4" in capsys.readouterr().out
    report = json.loads((source.parent / "out" / "report.json").read_text())
    assert report["scans"]["left_out"] == ["3Dircadb1.5"]
    assert report["scans"]["prepared"] == 4
    assert "3Dircadb1.5" in (source.parent / "out" / "report.csv").read_text()


def test_mask_in_use_is_bad_then_patient_left_out(source, capsys):
    grey = masks() | {"livertumor01": masks()["livertumor01"] // 2}
    write_files(source, patient_files(5, structures=grey))
    with pytest.raises(SystemExit):
        run(source)
    assert "livertumor01/image_2: a mask must hold 0 and 255" in capsys.readouterr().out


def test_doubtful_hu_then_patient_kept_reported_and_exit_code_1(source, capsys):
    write_files(source, patient_files(5, ct=images(hu_volume(), RescaleIntercept=None)))
    with pytest.raises(SystemExit) as stop:
        run(source)
    assert stop.value.code == 1
    printed = capsys.readouterr().out
    assert "scans: 5 of 5 prepared" in printed
    assert "no RescaleIntercept" in printed


def test_one_kidney_then_reported_as_unknown(tmp_path, capsys):
    drawn = {name: mask for name, mask in masks().items() if name != "leftkidney"}
    source = write_cohort(tmp_path / "in", 3, structures=drawn)
    datalist, output = run(source)
    assert every_sample(datalist)[0]["known_classes"] == [0, 1, 2]
    assert "incomplete and therefore unknown: right_Kidney" in capsys.readouterr().out
    label = np.load(output / "scans" / "3Dircadb1.1" / "label.npy")
    assert set(np.unique(label)) == {0, 1, 2}


def test_no_class_known_then_patient_left_out(source, capsys):
    write_files(source, patient_files(5, structures={"skin": block(slice(None))}))
    with pytest.raises(SystemExit):
        run(source)
    assert "no class is known from the structures skin" in capsys.readouterr().out


def test_all_patients_bad_then_refused_with_the_reason(tmp_path):
    source = write_cohort(tmp_path / "in", 3, ct=images(hu_volume(), Modality="MR"))
    with pytest.raises(ValueError, match="none of the 3 scans can be used: .*must be a CT"):
        run(source)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"split": "random"},
            "split: must be one of patient, fold, test_only, validation_only, slice_random",
        ),
        ({"slices": "liver"}, "slices: must be one of all, organ"),
        ({"every": 0}, "every: must be a whole number"),
        ({"neighbours": -1}, "neighbours: must be"),
        ({"split": "fold", "folds": 2}, "folds: must be"),
        ({"split": "fold", "test_fold": 5}, "test_fold: must be"),
        (
            {"split": "fold", "folds": 6},
            "folds: must be at most the number of patients or nodules, 4",
        ),
        ({"block": 0}, "block: must be"),
        ({"seed": "x"}, "seed: must be"),
        ({"tumour": "maybe"}, "tumour: must be true, false, yes, no, 1 or 0"),
        ({"window_hu": 5}, "window_hu: must be two numbers"),
        ({"window_hu": (1, 1)}, "window_hu: lower bound must lie below"),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "-".join(value),
)
def test_wrong_option_then_refused_before_anything_is_read(source, options, said):
    with pytest.raises(ValueError, match=said):
        run(source, **options)
    assert not (source.parent / "out" / "scans").exists()


def test_no_output_then_refused(source):
    with pytest.raises(ValueError, match="output: must name a folder"):
        command_of("ircadb")(str(source))


def test_report_then_no_name_of_the_dicom_header(source):
    named = images(hu_volume(), PatientName="Secret^Name", PatientID="S-1", StudyDate="20200102")
    write_files(source, patient_files(1, ct=named))
    _, output = run(source)
    texts = [path.read_text() for path in output.rglob("*.json")]
    assert not [text for text in texts if "Secret" in text or "S-1" in text or "20200102" in text]
