import re

import pytest

from scripts.datasets.ircadb.patients import find_patients, list_files
from scripts.storage.archive import ArchiveReader, Limits
from tests.scripts.datasets.ircadb.zips import section, write_files, zip_bytes

CT = ["image_0", "image_1"]
MASKS = ["liver/image_0", "liver/image_1", "bone/image_0", "bone/image_1"]


def packed(number: int, *, folder: str | None = None) -> dict[str, bytes]:
    """A patient's folder as published: zips inside, a folder of the zip's name inside those."""
    name = f"3Dircadb1.{number}" if folder is None else folder
    return {
        f"{name}/PATIENT_DICOM.zip": zip_bytes(section(CT, folder="PATIENT_DICOM/")),
        f"{name}/MASKS_DICOM.zip": zip_bytes(section(MASKS, folder="MASKS_DICOM/")),
        f"{name}/LABELLED_DICOM.zip": b"never opened",
        f"{name}/MESHES_VTK.zip": b"never opened",
    }


def unpacked(number: int, *, doubled: bool = False) -> dict[str, bytes]:
    twice = 2 if doubled else 1
    root = f"3Dircadb1.{number}/" * twice
    ct = section(CT, folder=root + "PATIENT_DICOM/" * twice)
    return ct | section(MASKS, folder=root + "MASKS_DICOM/" * twice)


def zipped(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {name: zip_bytes(files)}


LAYOUTS = {
    "folders-of-zips": packed(1) | packed(2),
    "unpacked": unpacked(1) | unpacked(2),
    "doubled": unpacked(1, doubled=True) | unpacked(2, doubled=True),
    "zip-a-patient": zipped(packed(1), "3Dircadb1.1.zip") | zipped(packed(2), "3Dircadb1.2.zip"),
    "one-zip-of-folders": zipped(packed(1) | packed(2), "3Dircadb1.zip"),
    "one-zip-of-zips": zipped(
        zipped(packed(1), "3Dircadb1.1.zip") | zipped(packed(2), "3Dircadb1.2.zip"), "3Dircadb1.zip"
    ),
    "one-zip-of-images": zipped(unpacked(1) | unpacked(2), "3Dircadb1.zip"),
    "packed-and-unpacked": packed(1) | packed(2) | unpacked(1) | unpacked(2, doubled=True),
    "patient-zip-beside-folder": packed(1) | zipped(packed(1), "3Dircadb1.1.zip") | packed(2),
}


def files_of(source, name="3Dircadb1.1", **limits):
    patients = {patient.name: patient for patient in find_patients(source).patients}
    with ArchiveReader(Limits(**limits)) as reader:
        files = list_files(reader, patients[name])
        contents = sorted(reader.read(file.location).decode() for file in files.ct)
    return files, contents


@pytest.mark.parametrize("layout", LAYOUTS)
def test_download_as_it_comes_then_every_patient_with_its_images(tmp_path, layout):
    source = write_files(tmp_path / "download", LAYOUTS[layout])
    found = find_patients(source)
    assert [patient.name for patient in found.patients] == ["3Dircadb1.1", "3Dircadb1.2"]
    assert not found.refused
    for name in ("3Dircadb1.1", "3Dircadb1.2"):
        files, contents = files_of(source, name)
        assert contents == CT
        assert {key: len(value) for key, value in files.masks.items()} == {"liver": 2, "bone": 2}


@pytest.mark.parametrize("inner", ["", "3Dircadb1.7"], ids=["data-set", "patient"])
def test_source_is_any_level_then_same_patient(tmp_path, inner):
    source = write_files(tmp_path, packed(7)) / inner
    assert [patient.name for patient in find_patients(source).patients] == ["3Dircadb1.7"]


def test_source_is_a_zip_of_backslashes_then_read(tmp_path):
    files = {name.replace("/", "\\"): content for name, content in unpacked(3).items()}
    source = write_files(tmp_path, zipped(files, "3Dircadb1.3.zip")) / "3Dircadb1.3.zip"
    assert files_of(source, "3Dircadb1.3")[1] == CT


def test_patients_then_in_the_order_of_their_numbers(tmp_path):
    source = write_files(tmp_path, packed(10) | packed(2) | packed(1, folder="3D-IRCADb-01_03"))
    names = [patient.name for patient in find_patients(source).patients]
    assert names == ["3Dircadb1.2", "3Dircadb1.3", "3Dircadb1.10"]


def test_damaged_patient_zip_then_refused_and_the_others_found(tmp_path):
    files = packed(1) | {"3Dircadb1.2.zip": b"cut off while downloading"}
    found = find_patients(write_files(tmp_path, files))
    assert [patient.name for patient in found.patients] == ["3Dircadb1.1"]
    (line,) = found.refused
    assert "3Dircadb1.2.zip: is not a complete zip" in line


def test_hostile_member_of_the_outer_zip_then_refused_and_the_others_found(tmp_path):
    source = write_files(tmp_path, zipped({"../../evil": b"x", **packed(1)}, "3Dircadb1.zip"))
    found = find_patients(source)
    assert len(found.patients) == 1
    assert "member '../../evil' would be unpacked outside" in found.refused[0]


def refusal(tmp_path, files, **limits):
    with pytest.raises(ValueError, match=".") as error:
        files_of(write_files(tmp_path, files), **limits)
    return str(error.value)


def test_hostile_member_of_a_section_then_patient_refused(tmp_path):
    files = packed(1)
    files["3Dircadb1.1/MASKS_DICOM.zip"] = zip_bytes(section([*MASKS, "../liver/image_0"]))
    assert "would be unpacked outside its folder" in refusal(tmp_path, files)


def test_patient_in_two_places_then_refused_naming_both(tmp_path):
    files = packed(1) | {f"copy/{name}": content for name, content in packed(1).items()}
    said = refusal(tmp_path, files)
    assert re.search(r"several folders, keep one: .*/3Dircadb1\.1, .*copy/3Dircadb1\.1", said)


def test_half_unpacked_beside_its_zip_then_refused_with_both_counts(tmp_path):
    half = {name: content for name, content in unpacked(1).items() if "bone" not in name}
    said = refusal(tmp_path, packed(1) | half)
    assert "MASKS_DICOM: has several copies that differ" in said
    assert "(2 files)" in said
    assert "(4 files)" in said


@pytest.mark.parametrize("name", ["PATIENT_DICOM", "MASKS_DICOM"])
def test_section_missing_then_refused(tmp_path, name):
    files = {key: value for key, value in packed(1).items() if name not in key}
    assert f"{name}: missing" in refusal(tmp_path, files)


def test_empty_section_then_refused(tmp_path):
    files = packed(1) | {"3Dircadb1.1/MASKS_DICOM.zip": zip_bytes({"MASKS_DICOM/.DS_Store": b""})}
    assert "MASKS_DICOM: holds no file" in refusal(tmp_path, files)


def test_folder_inside_a_structure_then_refused(tmp_path):
    files = unpacked(1) | {"3Dircadb1.1/MASKS_DICOM/liver/old/image_0": b""}
    assert "a folder inside the structure liver" in refusal(tmp_path, files)


def test_more_than_the_limit_of_a_patient_then_refused(tmp_path):
    assert "at most 10 bytes" in refusal(tmp_path, packed(1), total_bytes=10)


def test_file_beside_the_structures_then_reported(tmp_path):
    files, _ = files_of(write_files(tmp_path, unpacked(1) | {"3Dircadb1.1/MASKS_DICOM/a": b""}))
    assert "MASKS_DICOM/a: is not in the folder of a structure" in files.unread[0]


def test_structure_as_a_zip_then_read(tmp_path):
    liver = zip_bytes(section(["image_0", "image_1"], folder="liver/"))
    files = {name: value for name, value in unpacked(1).items() if "MASKS_DICOM/liver" not in name}
    source = write_files(tmp_path, files | {"3Dircadb1.1/MASKS_DICOM/liver.zip": liver})
    assert {name: len(found) for name, found in files_of(source)[0].masks.items()} == {
        "bone": 2,
        "liver": 2,
    }


@pytest.mark.parametrize("files", [{}, {"notes.txt": b""}], ids=["empty", "other-files"])
def test_no_patient_then_says_what_was_expected(tmp_path, files):
    with pytest.raises(FileNotFoundError, match="no patient in .*expected folders or zips"):
        find_patients(write_files(tmp_path, files))


def test_no_such_source_then_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        find_patients(tmp_path / "nowhere")


def test_source_is_another_file_then_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a folder or a zip"):
        find_patients(write_files(tmp_path, {"scan.nii": b""}) / "scan.nii")


@pytest.mark.real
def test_patient_17_then_every_structure_has_as_many_images_as_the_ct(real_data):
    (patient,) = find_patients(real_data / "ircadb").patients
    with ArchiveReader() as reader:
        files = list_files(reader, patient)
    assert patient.name == "3Dircadb1.17"
    assert len(files.ct) == 119
    assert {len(images) for images in files.masks.values()} == {119}
    assert {"liver", "bone", "livertumor1", "livertumor2"} < set(files.masks)
