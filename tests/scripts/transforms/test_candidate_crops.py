import numpy as np
import pytest

from scripts.transforms.candidate_crops import AIR_HU, cut_crops, nearest_voxels
from scripts.volumes.geometry import index_to_world
from scripts.volumes.volume import Volume

AFFINE = np.array([[0.7, 0, 0, -10.0], [0, 0.8, 0, -20.0], [0, 0, 2.5, -30.0], [0, 0, 0, 1]])
HU = np.random.default_rng(0).integers(-1000, 400, (6, 20, 30)).astype(np.int16)
CT = Volume(HU, AFFINE)


def at(z, y, x):
    return index_to_world([[x, y, z]], AFFINE)


def test_crop_then_the_middle_voxel_is_the_nearest_to_the_position():
    (crop,) = cut_crops(CT, at(2.3, 10.4, 14.6), size=(8, 6))
    np.testing.assert_array_equal(crop, HU[1:4, 6:14, 12:18])
    assert crop[1, 4, 3] == HU[2, 10, 15]


def test_position_at_a_corner_then_air_outside_and_the_first_slice_repeated():
    (crop,) = cut_crops(CT, at(0, 0, 29), size=(4, 4))
    np.testing.assert_array_equal(crop[0], crop[1])
    np.testing.assert_array_equal(crop[2][2:, :3], HU[1, :2, 27:])
    assert (crop[:, :2] == AIR_HU).all()
    assert (crop[:, :, 3] == AIR_HU).all()


def test_volume_in_another_index_order_then_the_same_crops():
    flipped = AFFINE.copy()
    flipped[1, 1] *= -1
    flipped[1, 3] = -20 + 0.8 * 19
    stored = Volume(np.ascontiguousarray(HU[:, ::-1]), flipped)
    centres = np.vstack([at(2, 10, 14), at(4, 3, 3)])
    expected = cut_crops(CT, centres, size=(8, 8))
    np.testing.assert_array_equal(cut_crops(stored.in_lps(), centres, size=(8, 8)), expected)


def test_no_position_then_no_crop():
    assert cut_crops(CT, np.zeros((0, 3)), size=(8, 8)).shape == (0, 3, 8, 8)


def test_position_outside_then_refused():
    with pytest.raises(ValueError, match=r"1 of 2 positions lie outside the CT, the first at"):
        nearest_voxels(CT, np.vstack([at(2, 2, 2), at(6, 2, 2)]))
