import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scripts.datasets.luna16.instances import ball_mask
from scripts.volumes.geometry import index_to_world

PLAIN = np.diag([0.7, 0.7, 2.5, 1.0])


def affine_with(direction, spacing=(0.7, 0.7, 2.5), origin=(-90.0, 40.0, -300.0)):
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(direction, float) * spacing
    affine[:3, 3] = origin
    return affine


def test_ball_when_cut_by_slices_then_each_disc_has_its_own_radius():
    mask = ball_mask((9, 41, 41), PLAIN, (14.0, 14.0, 10.0), 12.0)
    rows, columns = np.mgrid[:41, :41] * 0.7 - 14.0
    for k in range(9):
        left = 6.0**2 - (2.5 * k - 10.0) ** 2
        disc = rows**2 + columns**2 <= left if left >= 0 else np.zeros((41, 41), bool)
        np.testing.assert_array_equal(mask[k], disc)


@pytest.mark.parametrize(
    "direction",
    [np.eye(3), np.diag([-1, -1, 1]), np.diag([1, -1, -1]), np.eye(3)[[2, 0, 1]]],
    ids=["identity", "as in LUNA16's flipped scans", "upside down", "permuted"],
)
def test_ball_when_grid_flipped_or_permuted_then_centred_where_the_list_says(direction):
    affine = affine_with(direction)
    centre = index_to_world((20, 15, 6), affine)
    mask = ball_mask((12, 36, 40), affine, centre, 10.0)
    voxels = np.argwhere(mask)[:, ::-1]
    np.testing.assert_allclose(index_to_world(voxels, affine).mean(axis=0), centre, atol=0.3)
    volume_mm3 = mask.sum() * 0.7 * 0.7 * 2.5
    assert volume_mm3 == pytest.approx(np.pi / 6 * 10.0**3, rel=0.1)


def test_ball_when_grid_oblique_then_all_distances_in_mm():
    affine = affine_with(Rotation.from_euler("xyz", [9, 5, 12], degrees=True).as_matrix())
    centre = index_to_world((20.3, 15.2, 6.4), affine)
    mask = ball_mask((12, 36, 40), affine, centre, 11.0)
    grid = np.stack(np.meshgrid(*map(range, (40, 36, 12)), indexing="ij"), axis=-1)
    distances = np.linalg.norm(index_to_world(grid, affine) - centre, axis=-1)
    np.testing.assert_array_equal(mask, (distances <= 5.5).transpose(2, 1, 0))


def test_ball_when_smaller_than_a_voxel_then_the_centre_voxel_is_marked():
    mask = ball_mask((4, 5, 6), np.diag([2.0, 2.0, 5.0, 1]), (5.1, 4.9, 8.0), 0.5)
    assert np.argwhere(mask).tolist() == [[2, 2, 3]]


def test_ball_when_reaching_over_the_edge_then_cut_off_there():
    mask = ball_mask((4, 8, 8), np.eye(4), (0.0, 0.0, 0.0), 4.0)
    assert mask[0, :3, 0].all()
    assert not mask[0, 3:, 0].any()
    assert not mask[3].any()


@pytest.mark.parametrize(
    ("centre", "diameter", "message"),
    [
        ((100.0, 4.0, 4.0), 5.0, "centre_lps_mm: must lie inside .* \\[100.0, 4.0, 4.0\\]"),
        ((-0.6, 4.0, 4.0), 5.0, "centre_lps_mm: must lie inside"),
        ((np.nan, 4.0, 4.0), 5.0, "centre_lps_mm: must be three finite numbers"),
        ((4.0, 4.0), 5.0, "centre_lps_mm: must be three finite numbers"),
        ((4.0, 4.0, 4.0), 0.0, "diameter_mm: must be above 0, got 0"),
        ((4.0, 4.0, 4.0), np.nan, "diameter_mm: must be above 0, got nan"),
    ],
)
def test_ball_when_numbers_are_bad_then_refused(centre, diameter, message):
    with pytest.raises(ValueError, match=message):
        ball_mask((8, 8, 8), np.eye(4), centre, diameter)


def test_ball_when_shape_is_bad_then_refused():
    with pytest.raises(ValueError, match="shape_zyx: must be three sizes above 0"):
        ball_mask((8, 0, 8), np.eye(4), (0, 0, 0), 3.0)
