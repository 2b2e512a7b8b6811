import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from scripts.volumes.geometry import affine_of, set_affine, to_lps
from scripts.volumes.grids import Grid, difference_of_grids, stored_grid

AFFINE = np.array([[0.7, 0, 0, -90], [0, 0.8, 0, 40], [0, 0, 2.5, -300], [0, 0, 0, 1.0]])


def written(path, orientation="LPS", affine=AFFINE):
    image = set_affine(sitk.Image(9, 7, 6, sitk.sitkInt16), affine)
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), path)
    return path


@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAI", "SPL"])
def test_grid_of_a_file_then_that_of_the_volume_in_lps(tmp_path, name, orientation):
    path = written(tmp_path / name, orientation)
    size, affine = stored_grid(path)
    read = to_lps(sitk.ReadImage(path))
    assert size == read.GetSize() == (9, 7, 6)
    np.testing.assert_allclose(affine, affine_of(read), atol=1e-4)


def test_files_of_other_orientations_then_on_one_grid(tmp_path):
    one = stored_grid(written(tmp_path / "a.nii.gz", "RAS"))
    assert difference_of_grids(one, stored_grid(written(tmp_path / "b.mhd", "LPS"))) == ""


@pytest.mark.parametrize("shift", [(60, 0, 0), (0, -60, 0), (0, 0, 60), (0, 0, 0.1)], ids=str)
def test_file_that_was_shifted_then_the_shift_reported(tmp_path, shift):
    one = stored_grid(written(tmp_path / "a.nii.gz"))
    moved = AFFINE.copy()
    moved[:3, 3] += shift
    other = stored_grid(written(tmp_path / "b.nii.gz", affine=moved))
    assert f"up to {max(map(abs, shift)):.3f} mm" in difference_of_grids(one, other)


def test_grids_of_other_sizes_or_within_tolerance_then_different_or_same():
    one = Grid((4, 5, 6), AFFINE)
    assert difference_of_grids(one, Grid((4, 5, 7), AFFINE)).startswith("sizes differ")
    near = AFFINE.copy()
    near[0, 3] += 0.01
    assert difference_of_grids(one, Grid((4, 5, 6), near)) == ""


@pytest.mark.parametrize("name", ["a.mhd", "a.nrrd", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("content", [b"", b"NRRD0004\n", b"no header at all"], ids=repr)
def test_damaged_header_then_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: its header cannot be read"):
        stored_grid(tmp_path / name)


def test_file_of_four_dimensions_then_refused(tmp_path):
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((3, 3, 3, 2), np.int16), np.eye(4)), tmp_path / "a.nii"
    )
    with pytest.raises(ValueError, match="must be one 3D volume"):
        stored_grid(tmp_path / "a.nii")
