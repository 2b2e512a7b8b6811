import pytest
import SimpleITK as sitk

from scripts.studies import find_studies


def write_volume(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.Image(4, 4, 3, sitk.sitkInt16), str(path))
    return path


def write_dicom_slice(folder):
    folder.mkdir(parents=True)
    sitk.WriteImage(sitk.Image(4, 4, sitk.sitkInt16), str(folder / "one.dcm"))
    (folder / "one.dcm").rename(folder / "image_0")  # 3D-IRCADb's files have no suffix
    return folder


def test_studies_of_a_file_then_that_file(tmp_path):
    path = write_volume(tmp_path / "scan.mhd")
    assert find_studies(path) == [{"image": str(path)}]


def test_studies_of_a_folder_of_both_then_each_once_and_raw_is_no_study(tmp_path):
    volume = write_volume(tmp_path / "b" / "scan.mhd")
    nifti = write_volume(tmp_path / "c.nii.gz")
    series = write_dicom_slice(tmp_path / "a")
    found = [study["image"] for study in find_studies(tmp_path)]
    assert found == [str(series), str(volume), str(nifti)]


def test_studies_of_a_dicom_folder_then_the_folder(tmp_path):
    series = write_dicom_slice(tmp_path / "series")
    assert find_studies(series) == [{"image": str(series)}]


def test_studies_when_nothing_readable_then_says_what_was_expected(tmp_path):
    (tmp_path / "notes.txt").write_text("no scan")
    with pytest.raises(FileNotFoundError, match="expected a file ending in .mhd"):
        find_studies(tmp_path)
