import nibabel
import numpy as np

from scripts.volumes.geometry import affine_of
from scripts.volumes.nifti import nifti_of
from scripts.volumes.readers import read_image

AFFINE_LPS = np.array([[0.7, 0, 0, -5], [0, 0.8, 0, 6], [0, 0, 2.5, 7], [0, 0, 0, 1.0]])


def test_array_then_every_reader_finds_its_voxels_in_the_same_place(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nibabel.save(nifti_of(array, AFFINE_LPS), tmp_path / "a.nii.gz")
    theirs = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), array.transpose(2, 1, 0))
    np.testing.assert_allclose(theirs.affine @ [0, 0, 0, 1], [5, -6, 7, 1])
    np.testing.assert_allclose(affine_of(read_image(tmp_path / "a.nii.gz")), AFFINE_LPS, atol=1e-5)
    assert theirs.get_data_dtype() == np.int16
