from __future__ import annotations

import hashlib
import json
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.datasets.ircadb.audit import audit_patient
from scripts.datasets.ircadb.patient_images import CT, read_ct, read_mask
from scripts.datasets.ircadb.patients import find_patients, list_files
from scripts.datasets.ircadb.structures import recognise
from scripts.phantom.abdomen.ircadb import make_cohort
from scripts.phantom.abdomen.ircadb_patient import PatientRecord, read_record
from scripts.storage.archive import ArchiveReader

OPTIONS = {"seed": 5, "size": 64, "slices": 40}
TINY = {"seed": 5, "size": 64, "slices": 24}
KIDNEYS = {"kidneys", "leftkidney", "rightkidney"}
TUMOURS = [
    {"livertumor1", "livertumor2"},
    {"livertumors"},
    {"livertumor01", "livertumor02"},
    set(),
    {"livertumor"},
    {"livertumor01", "livertumor02"},
]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ircadb")
    make_cohort(str(folder), patients=6, **OPTIONS)
    return folder


def record_of(cohort: Path, number: int) -> PatientRecord:
    return read_record(cohort / "records" / f"3Dircadb1.{number}.json")


@lru_cache
def read(cohort: Path, number: int) -> tuple[CT, dict[str, np.ndarray]]:
    patient = find_patients(cohort).patients[number - 1]
    with ArchiveReader() as reader:
        files = list_files(reader, patient)
        ct = read_ct(reader, files.ct)
        return ct, {name: read_mask(reader, found, ct) for name, found in files.masks.items()}


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_cohort_lies_on_the_disk_as_the_data_set_does(cohort: Path) -> None:
    for number in (1, 2, 3, 6):
        names = {path.name for path in (cohort / f"3Dircadb1.{number}").iterdir()}
        assert names == {"PATIENT_DICOM.zip", "MASKS_DICOM.zip"}
    with zipfile.ZipFile(cohort / "3Dircadb1.4.zip") as outer:
        assert "3Dircadb1.4/MASKS_DICOM.zip" in outer.namelist()
    assert (cohort / "3Dircadb1.5/PATIENT_DICOM/PATIENT_DICOM/image_0").is_file()
    assert (cohort / "3Dircadb1.5/MASKS_DICOM/liver/image_39").is_file()
    with zipfile.ZipFile(cohort / "3Dircadb1.1/MASKS_DICOM.zip") as masks:
        assert {"MASKS_DICOM/liver/", "MASKS_DICOM/livertumor1/image_7"} <= set(masks.namelist())
    assert "SYNTHETIC" in (cohort / "README.txt").read_text()


def test_reader_finds_every_patient_with_the_voxels_that_were_drawn(cohort: Path) -> None:
    found = find_patients(cohort)
    assert not found.refused
    assert [patient.name for patient in found.patients] == [f"3Dircadb1.{n}" for n in range(1, 7)]
    for number, patient in enumerate(found.patients, start=1):
        audit = audit_patient(patient)
        assert not audit.problems
        assert {r.structure: r.voxels for r in audit.rows} == record_of(cohort, number).structures
        assert not [row for row in audit.rows if row.part == "NOT RECOGNISED"]
        assert audit.unknown == (("kidney",) if number == 3 else ())


def test_structures_are_named_in_the_ways_of_the_data_set(cohort: Path) -> None:
    for number, tumours in enumerate(TUMOURS, start=1):
        names = set(record_of(cohort, number).structures)
        assert {"liver", "bone", "skin"} <= names
        assert {name for name in names if name.startswith("livertumor")} == tumours
        known = recognise(names).known_classes()
        assert known == ((0, 1, 2) if number == 3 else (0, 1, 2, 3))
    kinds = [KIDNEYS & set(record_of(cohort, number).structures) for number in (1, 2, 3)]
    assert kinds == [{"leftkidney", "rightkidney"}, {"kidneys"}, set()]
    assert "livercyst" in record_of(cohort, 1).structures
    assert "liverkyst" in record_of(cohort, 6).structures


def test_patient_without_kidney_folders_has_kidneys_in_the_image(cohort: Path) -> None:
    record = record_of(cohort, 3)
    assert not KIDNEYS & set(record.structures)
    assert min(record.unlabelled["leftkidney"], record.unlabelled["rightkidney"]) > 100


def test_descending_patient_is_numbered_from_the_head_and_lands_upright(cohort: Path) -> None:
    with zipfile.ZipFile(cohort / "3Dircadb1.2/PATIENT_DICOM.zip") as archive:
        heights = []
        for number in range(40):
            with archive.open(f"PATIENT_DICOM/image_{number}") as file:
                dataset = pydicom.dcmread(file)
            assert dataset.InstanceNumber == number
            heights.append(float(dataset.ImagePositionPatient[2]))
    assert np.all(np.diff(heights) < 0)
    ct, masks = read(cohort, 2)
    assert ct.affine[2, 2] > 0
    middle = {name: np.argwhere(mask).mean(axis=0) for name, mask in masks.items()}
    assert middle["liver"][0] > middle["kidneys"][0]  # head-wards
    assert middle["liver"][2] < middle["skin"][2]  # to the patient's right
    assert middle["bone"][1] > middle["liver"][1]  # to the back


def test_every_patient_lies_alike_however_it_is_stored(cohort: Path) -> None:
    for number in range(1, 7):
        ct, masks = read(cohort, number)
        liver, skin = (np.argwhere(masks[name]).mean(axis=0) for name in ("liver", "skin"))
        assert liver[2] < skin[2]
        heights = np.flatnonzero(masks["liver"].any(axis=(1, 2)))
        lungs = (ct.hu[heights[-1]] < -700) & masks["skin"][heights[-1]]
        below = (ct.hu[heights[0]] < -700) & masks["skin"][heights[0]]
        assert lungs.sum() > below.sum()


def test_tumours_lie_inside_the_liver(cohort: Path) -> None:
    for number in range(1, 7):
        _, masks = read(cohort, number)
        for name, mask in masks.items():
            if name.startswith("livertumor"):
                assert mask.any()
                assert masks["liver"][mask].all()


def test_images_are_valid_ct_with_masks_of_eight_bits(cohort: Path) -> None:
    folder = cohort / "3Dircadb1.5"
    image = pydicom.dcmread(folder / "PATIENT_DICOM/PATIENT_DICOM/image_3")
    mask = pydicom.dcmread(folder / "MASKS_DICOM/liver/image_3")
    assert image.SOPClassUID == pydicom.uid.CTImageStorage
    assert image.RescaleIntercept == -1024
    assert image.PixelRepresentation == 0
    assert image.ImagePositionPatient == mask.ImagePositionPatient
    assert image.FrameOfReferenceUID == mask.FrameOfReferenceUID
    assert image.SeriesInstanceUID != mask.SeriesInstanceUID
    assert image.SOPInstanceUID == image.file_meta.MediaStorageSOPInstanceUID
    assert mask.BitsAllocated == 8
    assert set(np.unique(mask.pixel_array)) == {0, 255}
    assert "SYNTHETIC" in str(image.PatientName)
    assert image.PatientBirthDate == ""
    for dataset in (image, mask):
        for element in dataset:
            if element.VR == "UI":
                assert pydicom.uid.UID(element.value).is_valid


def test_uids_are_never_shared_between_files(cohort: Path) -> None:
    paths = [path for path in cohort.rglob("image_*") if path.is_file()]
    read_only = [pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]) for path in paths]
    assert len({dataset.SOPInstanceUID for dataset in read_only}) == len(paths)


def test_same_seed_gives_the_same_bytes_and_a_larger_cohort_begins_alike(tmp_path: Path) -> None:
    make_cohort(str(tmp_path / "grown"), patients=1, **TINY)
    make_cohort(str(tmp_path / "grown"), patients=2, **TINY)
    make_cohort(str(tmp_path / "once"), patients=2, jobs=2, **TINY)
    assert digests(tmp_path / "grown") == digests(tmp_path / "once")


def test_interrupted_cohort_is_completed_and_the_rest_kept(tmp_path: Path) -> None:
    make_cohort(str(tmp_path), patients=2, **TINY)
    before = digests(tmp_path)
    kept = (tmp_path / "3Dircadb1.2/MASKS_DICOM.zip").stat().st_mtime_ns
    (tmp_path / "3Dircadb1.1/MASKS_DICOM.zip").unlink()
    make_cohort(str(tmp_path), patients=2, **TINY)
    assert digests(tmp_path) == before
    assert (tmp_path / "3Dircadb1.2/MASKS_DICOM.zip").stat().st_mtime_ns == kept


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    for seed in (5, 6):
        make_cohort(str(tmp_path / str(seed)), patients=1, **{**TINY, "seed": seed})
    first, second = digests(tmp_path / "5"), digests(tmp_path / "6")
    assert first["3Dircadb1.1/PATIENT_DICOM.zip"] != second["3Dircadb1.1/PATIENT_DICOM.zip"]
    assert first["3Dircadb1.1/MASKS_DICOM.zip"] != second["3Dircadb1.1/MASKS_DICOM.zip"]


def test_table_of_patients_says_what_is_odd(cohort: Path) -> None:
    header, *lines = (cohort / "patients.csv").read_text().splitlines()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    assert [row["descending"] for row in rows] == ["false", "true", *["false"] * 4]
    assert [row["kidneys"] for row in rows] == ["sides", "one", "none", "sides", "one", "sides"]
    assert {row["phase"] for row in rows} == {"portal", "arterial", "late", "native"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"size": 32}, "size: must be a whole number, 64 to 1024, got 32"),
        ({"patients": 0}, "patients: must be"),
        ({"seed": -1}, "seed: must be"),
        ({"slices": 3}, "slices: must be a whole number, 24"),
        ({"jobs": 0}, "jobs: must be"),
    ],
)
def test_bad_option_is_refused_before_anything_is_written(
    tmp_path: Path, option: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_cohort(str(tmp_path / "new"), **option)
    assert not (tmp_path / "new").exists()


def test_folder_with_a_cohort_of_other_options_is_refused(tmp_path: Path) -> None:
    make_cohort(str(tmp_path), patients=1, **TINY)
    for change in ({"seed": 6}, {"size": 96}, {"slices": 25}):
        with pytest.raises(FileExistsError, match="use the same options"):
            make_cohort(str(tmp_path), patients=1, **{**TINY, **change})
    assert json.loads((tmp_path / "cohort.json").read_text())["seed"] == 5
