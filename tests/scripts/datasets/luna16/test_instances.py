import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from scripts.datasets.luna16.annotations import Annotation
from scripts.datasets.luna16.instances import ball_instances, ball_mask, mask_instances
from scripts.volumes.geometry import affine_of, index_to_world
from tests.scripts.datasets.luna16.cohort import as_image

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


SHAPE = (24, 40, 48)
CENTRES = ((12, 14, 8), (30, 14, 8), (30, 30, 16))  # indices (i, j, k)


def listed(image, centres=CENTRES, diameter=9.0):
    mm = index_to_world(np.array(centres), affine_of(image)).tolist()
    return [Annotation(n, "1.2", tuple(one), diameter) for n, one in enumerate(mm, start=2)]


def masked(tmp_path, balls, value=None):
    """A mask of balls ((i, j, k), diameter in mm), numbered or of one value; and its scan."""
    scan = as_image(np.zeros(SHAPE, np.int16))
    affine, mask = affine_of(scan), np.zeros(SHAPE, np.uint8)
    for number, (index, diameter) in enumerate(balls, start=1):
        inside = ball_mask(SHAPE, affine, index_to_world(index, affine), diameter)
        mask[inside] = number if value is None else value
    path = tmp_path / "1.2.nii.gz"
    sitk.WriteImage(as_image(mask), path)
    return path, scan


@pytest.mark.parametrize("small_first", [False, True])
def test_balls_that_overlap_then_the_small_one_is_whole_and_numbers_follow_the_rows(small_first):
    scan = as_image(np.zeros(SHAPE, np.int16))
    (large,), (small,) = listed(scan, [(20, 20, 10)], 16.0), listed(scan, [(24, 20, 10)], 5.0)
    rows = [small, large] if small_first else [large, small]
    instances, nodules = ball_instances(rows, scan)
    balls = [ball_mask(SHAPE, affine_of(scan), row.centre_lps_mm, row.diameter_mm) for row in rows]
    first, second = balls
    np.testing.assert_array_equal(instances == rows.index(small) + 1, balls[rows.index(small)])
    np.testing.assert_array_equal(instances > 0, first | second)
    assert (first & second).any()
    assert nodules == [
        {"id": k, "diameter_mm": row.diameter_mm, "centre_lps_mm": list(row.centre_lps_mm)}
        for k, row in enumerate(rows, start=1)
    ]


def test_ball_beside_the_volume_then_refused_by_its_row():
    scan = as_image(np.zeros(SHAPE, np.int16))
    with pytest.raises(ValueError, match="annotations.csv row 2: the centre lies outside"):
        ball_instances(listed(scan, [(48, 20, 10)]), scan)


def test_balls_beyond_a_label_of_8_bits_then_refused():
    scan = as_image(np.zeros(SHAPE, np.int16))
    assert ball_instances(listed(scan, [(20, 20, 10)] * 255, 1.0), scan)[0].max() == 255
    with pytest.raises(ValueError, match="at most 255 in one scan, got 256"):
        ball_instances(listed(scan, [(20, 20, 10)] * 256, 1.0), scan)


@pytest.mark.parametrize("value", [1, 255])
def test_mask_of_one_value_then_its_components_are_the_nodules(tmp_path, value):
    path, scan = masked(tmp_path, [(centre, 9.0) for centre in CENTRES], value)
    instances, nodules = mask_instances(path, scan, listed(scan))
    assert len(nodules) == 3
    found = sorted(tuple(nodule["centre_lps_mm"]) for nodule in nodules)
    wanted = sorted(row.centre_lps_mm for row in listed(scan))
    np.testing.assert_allclose(found, wanted, atol=0.5)
    assert [nodule["diameter_mm"] for nodule in nodules] == pytest.approx([9.0] * 3, abs=0.7)
    assert sorted(np.unique(instances)) == [0, *sorted(nodule["id"] for nodule in nodules)]


def test_mask_of_one_value_for_a_scan_without_listed_nodules_then_its_components(tmp_path):
    path, scan = masked(tmp_path, [(centre, 9.0) for centre in CENTRES], 1)
    assert len(mask_instances(path, scan)[1]) == 3


def test_mask_of_one_value_with_a_nodule_in_two_parts_then_one_nodule(tmp_path):
    parts = [((12, 14, 8), 6.0), ((16, 14, 8), 1.5), ((30, 14, 8), 9.0)]
    path, scan = masked(tmp_path, parts, 1)
    assert len(mask_instances(path, scan, listed(scan, CENTRES[:2]))[1]) == 2
    path, scan = masked(tmp_path, parts[:2], 4)
    assert [n["id"] for n in mask_instances(path, scan, listed(scan, CENTRES[:1]))[1]] == [4]


def test_mask_of_one_value_with_a_part_beside_the_second_nodule_then_joined_to_it(tmp_path):
    parts = [((12, 14, 8), 9.0), ((30, 14, 8), 6.0), ((35, 14, 8), 1.5)]
    path, scan = masked(tmp_path, parts, 1)
    instances, nodules = mask_instances(path, scan, listed(scan, CENTRES[:2]))
    assert len(nodules) == 2
    assert instances[8, 14, 35] == instances[8, 14, 30] != instances[8, 14, 12]


def test_mask_with_numbers_then_kept_with_nodules_that_are_not_listed(tmp_path):
    path, scan = masked(tmp_path, [(centre, 9.0) for centre in CENTRES])
    assert [n["id"] for n in mask_instances(path, scan, listed(scan)[:1])[1]] == [1, 2, 3]


@pytest.mark.parametrize("columns", [(12, 13), (13, 12)])
def test_mask_of_two_voxels_that_touch_at_a_corner_then_the_nodule_between_them(tmp_path, columns):
    path, scan = masked(tmp_path, [])
    mask = np.zeros(SHAPE, np.uint8)
    mask[8, (14, 15), columns] = 3
    sitk.WriteImage(as_image(mask), path)
    (between,) = listed(scan, [(12.5, 14.5, 8)], 0.5)
    assert [n["id"] for n in mask_instances(path, scan, [between])[1]] == [3]
    (other,) = listed(scan, [(14.5, 14.5, 8)], 0.5)
    with pytest.raises(ValueError, match="none of its own for row 2"):
        mask_instances(path, scan, [other])


@pytest.mark.parametrize("value", [None, 1], ids=["numbered", "one value"])
def test_mask_without_a_listed_nodule_then_refused_by_its_row(tmp_path, value):
    path, scan = masked(tmp_path, [(centre, 9.0) for centre in CENTRES[:2]], value)
    with pytest.raises(ValueError, match=r"1.2.nii.gz: contradicts .* lists 3 .* for row 4;"):
        mask_instances(path, scan, listed(scan))


@pytest.mark.parametrize("value", [None, 1], ids=["numbered", "one value"])
def test_mask_with_two_listed_nodules_in_one_object_then_refused(tmp_path, value):
    path, scan = masked(tmp_path, [((21, 14, 8), 30.0), ((30, 30, 16), 5.0)], value)
    with pytest.raises(ValueError, match="lists 3 nodules: the mask has 2 objects"):
        mask_instances(path, scan, listed(scan))


def test_mask_without_any_voxel_but_listed_nodules_then_refused(tmp_path):
    path, scan = masked(tmp_path, [])
    with pytest.raises(ValueError, match="has 0 objects, and none of its own for row 2, 3, 4"):
        mask_instances(path, scan, listed(scan))


def test_mask_of_one_value_with_a_component_far_from_every_nodule_then_refused(tmp_path):
    path, scan = masked(tmp_path, [(centre, 9.0) for centre in CENTRES], 1)
    with pytest.raises(ValueError, match="1 of them far from every listed nodule, the first at"):
        mask_instances(path, scan, listed(scan, CENTRES[:2]))
    excluded = [(*listed(scan)[2].centre_lps_mm, 6.0)]
    assert len(mask_instances(path, scan, listed(scan, CENTRES[:2]), excluded)[1]) == 3
