"""A volume keeps every voxel at its place, whatever the index order."""

import numpy as np

from scripts.volumes.geometry import index_to_world
from scripts.volumes.volume import Volume, turned

RIGHT_TO_LEFT_FLIPPED = np.array(
    [[-0.7, 0, 0, 90.0], [0, 0.8, 0, -60.0], [0, 0, -2.5, 40.0], [0, 0, 0, 1]]
)


def volume():
    hu = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    return Volume(hu, RIGHT_TO_LEFT_FLIPPED)


def test_volume_then_size_and_spacing_run_along_x_y_z():
    assert volume().size == (4, 3, 2)
    np.testing.assert_allclose(volume().spacing_mm, (0.7, 0.8, 2.5))


def test_volume_when_through_an_image_then_the_same():
    again = Volume.from_image(volume().to_image())
    np.testing.assert_array_equal(again.hu, volume().hu)
    np.testing.assert_allclose(again.affine_lps, RIGHT_TO_LEFT_FLIPPED, atol=1e-12)


def test_volume_when_turned_to_lps_then_every_value_keeps_its_world_position():
    in_lps = volume().in_lps()
    assert (np.diag(in_lps.affine_lps)[:3] > 0).all()
    for value in (0, 7, 23):
        places = [
            index_to_world(np.argwhere(v.hu == value)[0][::-1], v.affine_lps)
            for v in (volume(), in_lps)
        ]
        np.testing.assert_allclose(places[0], places[1])


def test_array_turned_to_lps_and_back_then_the_same():
    label = volume().hu.astype(np.uint8)
    in_lps = turned(label, RIGHT_TO_LEFT_FLIPPED)
    np.testing.assert_array_equal(in_lps, volume().in_lps().hu)
    back = turned(in_lps, volume().in_lps().affine_lps, RIGHT_TO_LEFT_FLIPPED)
    np.testing.assert_array_equal(back, label)
