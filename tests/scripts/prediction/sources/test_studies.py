import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import FolderLayout

from scripts.prediction.sources.studies import find_studies, name_result, root_of
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import write_series


def write_volume(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.Image(4, 4, 3, sitk.sitkInt16), str(path))
    return path


def write_one_slice(folder):
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
    series = write_one_slice(tmp_path / "a")
    found = [study["image"] for study in find_studies(tmp_path)]
    assert found == [str(series), str(volume), str(nifti)]


def test_studies_of_a_dicom_folder_then_the_folder(tmp_path):
    series = write_one_slice(tmp_path / "series")
    assert find_studies(series) == [{"image": str(series)}]


def test_studies_when_nothing_readable_then_says_what_was_expected(tmp_path):
    (tmp_path / "notes.txt").write_text("no scan")
    with pytest.raises(FileNotFoundError, match="expected a file ending in .mhd"):
        find_studies(tmp_path)


def test_studies_when_two_would_share_a_result_then_refused(tmp_path):
    write_volume(tmp_path / "scan.mhd")
    write_volume(tmp_path / "scan.nii.gz")
    with pytest.raises(ValueError, match="scan.mhd, .*scan.nii.gz would have one name; rename"):
        find_studies(tmp_path)


def test_studies_when_named_alike_in_other_folders_or_by_uid_then_results_stay_apart(tmp_path):
    folders = ["1/PATIENT_DICOM", "2/PATIENT_DICOM", "uids/1.2.3", "uids/1.2.4"]
    series = [write_one_slice(tmp_path / name) for name in folders]
    assert len(find_studies(tmp_path)) == 4
    layout = FolderLayout("out", "m", "nii.gz", parent=False, data_root_dir=root_of(tmp_path))
    named = [layout.filename(**name_result({"filename_or_obj": path}, None)) for path in series]
    assert named == [f"out/{name}_m.nii.gz" for name in folders]


def test_root_of_a_single_study_then_its_folder(tmp_path):
    assert root_of(write_one_slice(tmp_path / "series")) == str(tmp_path)
    assert root_of(write_volume(tmp_path / "scan.mhd")) == str(tmp_path)


def test_studies_when_one_series_lies_in_two_folders_then_refused(tmp_path):
    files = write_series(tmp_path / "odd", abdomen())
    (tmp_path / "even").mkdir()
    for path in files[::2]:
        path.rename(tmp_path / "even" / path.name)
    with pytest.raises(ValueError, match="even and .*odd hold one series; put its files into one"):
        find_studies(tmp_path)


def write_values(path, values, spacing=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([spacing] * 3)
    sitk.WriteImage(image, str(path))
    return str(path)


def test_label_maps_beside_their_images_then_left_out_and_reported(tmp_path, caplog):
    ct = np.linspace(-1000, 500, 4 * 6 * 6).reshape(4, 6, 6).astype(np.int16)
    label = (ct > 0).astype(np.uint8)
    images = [
        write_values(tmp_path / "a" / "image.nii.gz", ct),
        write_values(tmp_path / "b" / "arterial.mhd", ct, spacing=0.7),
        write_values(tmp_path / "b" / "venous.mhd", ct, spacing=0.7),
        write_values(tmp_path / "c.nrrd", ct, spacing=0.5),
    ]
    labels = [
        write_values(tmp_path / "a" / "label.nii.gz", label),
        write_values(tmp_path / "b" / "lesions.seg.nrrd", label.astype(np.int16), spacing=0.7),
        write_values(tmp_path / "labels" / "c.nii.gz", label.astype(np.float32), spacing=0.5),
    ]
    assert [study["image"] for study in find_studies(tmp_path)] == images
    said = [record.getMessage() for record in caplog.records]
    assert [one.split(": ")[2] for one in said] == labels
    assert all("values must be HU, but they lie between 0 and 1: a mask" in one for one in said)


def test_volumes_none_of_which_holds_hu_then_none_is_left_out(tmp_path):
    label = np.eye(4, dtype=np.uint8)[None].repeat(3, axis=0)
    files = [write_values(tmp_path / name, label) for name in ("a.nii.gz", "b.nii.gz")]
    write_values(tmp_path / "other.nii.gz", label[:, :3])
    assert [study["image"] for study in find_studies(tmp_path)][:2] == files
