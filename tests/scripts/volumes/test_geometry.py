import re

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from scripts.volumes.geometry import (
    OBLIQUE_LIMIT_DEGREES,
    affine_of,
    check_affine,
    check_image,
    grid_difference,
    index_to_world,
    is_inside,
    lps_to_ras,
    reverse_axes,
    set_affine,
    spacing_of,
    to_lps,
    world_to_index,
)

IDENTITY = np.eye(3)
DIRECTIONS = {
    "identity": IDENTITY,
    "as in LUNA16's flipped scans": np.diag([-1.0, -1.0, 1.0]),
    "head first": np.diag([1.0, 1.0, -1.0]),
    "left-handed": np.diag([-1.0, 1.0, 1.0]),
    "permuted": IDENTITY[[2, 0, 1]],
    "permuted and flipped": np.diag([1.0, -1.0, -1.0])[[1, 2, 0]],
    "a little oblique": Rotation.from_euler("xyz", [4, -6, 5], degrees=True).as_matrix(),
}


def image_with(direction=IDENTITY, size=(5, 6, 7), spacing=(0.7, 0.8, 2.5), origin=(-90, 40, -300)):
    values = np.arange(np.prod(size), dtype=np.int16).reshape(size[::-1])
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(np.asarray(direction, float).ravel().tolist())
    return image


@pytest.fixture(params=DIRECTIONS.values(), ids=DIRECTIONS.keys())
def image(request):
    return image_with(request.param)


def test_affine_when_any_direction_then_agrees_with_itk(image):
    affine = affine_of(image)
    for index in [(0, 0, 0), (4, 0, 0), (1, 5, 2), (4, 5, 6)]:
        np.testing.assert_allclose(
            index_to_world(index, affine), image.TransformIndexToPhysicalPoint(index)
        )
    np.testing.assert_allclose(spacing_of(affine), [0.7, 0.8, 2.5])


def test_points_when_taken_to_voxels_and_back_then_the_same(image):
    affine = affine_of(image)
    points = np.random.default_rng(0).uniform(-300, 300, (2, 9, 3))
    indices = world_to_index(points, affine)
    assert indices.shape == (2, 9, 3)
    np.testing.assert_allclose(index_to_world(indices, affine), points, atol=1e-9)
    np.testing.assert_allclose(
        indices[0, 0], image.TransformPhysicalPointToContinuousIndex(points[0, 0].tolist())
    )


def test_point_when_direction_flipped_then_the_naive_formula_is_wrong_and_ours_right():
    flipped = image_with(np.diag([-1, -1, 1]), origin=(170, 160, -300))
    point = np.array(flipped.TransformIndexToPhysicalPoint((3, 4, 5)))
    naive = (point - flipped.GetOrigin()) / flipped.GetSpacing()
    assert (naive[:2] < 0).all()
    np.testing.assert_allclose(world_to_index(point, affine_of(flipped)), [3, 4, 5], atol=1e-9)


def test_affine_when_set_on_another_image_then_the_same_grid(image):
    other = set_affine(sitk.Image(image.GetSize(), sitk.sitkUInt8), affine_of(image))
    assert not grid_difference(image, other)


def test_reorienting_then_axes_run_lps_and_every_voxel_keeps_its_place(image):
    turned = to_lps(image)
    axes = affine_of(turned)[:3, :3]
    assert (np.abs(axes).argmax(axis=0) == [0, 1, 2]).all()
    assert (np.diag(axes) > 0).all()
    for index in [(0, 0, 0), (4, 1, 3), (2, 5, 6)]:
        point = image.TransformIndexToPhysicalPoint(index)
        there = np.rint(world_to_index(point, affine_of(turned))).astype(int).tolist()
        assert turned[there] == image[index]


def test_reorienting_when_already_lps_then_nothing_is_copied():
    image = image_with()
    assert to_lps(image) is image


def test_ras_when_flipped_twice_then_back_and_nibabel_agrees(image, tmp_path):
    affine = affine_of(image)
    np.testing.assert_array_equal(lps_to_ras(lps_to_ras(affine)), affine)
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    np.testing.assert_allclose(
        nibabel.load(tmp_path / "a.nii").affine, lps_to_ras(affine), atol=1e-4
    )


def test_inside_when_voxels_reach_half_an_edge_then_half_open():
    indices = [[-0.5, 0, 0], [-0.51, 0, 0], [3.49, 0, 0], [3.5, 0, 0], [0, 2, 9]]
    assert is_inside(indices, (4, 5, 6)).tolist() == [True, False, True, False, False]


BAD_AFFINES = {
    "NaN": (np.diag([1, np.nan, 1, 1]), "must be finite"),
    "infinite origin": (np.array([[1, 0, 0, np.inf], *np.eye(4)[1:]]), "must be finite"),
    "zero spacing": (np.diag([1.0, 0, 1, 1]), "spacing must be above 0 mm"),
    "metres": (np.diag([0.0007, 0.0007, 0.00125, 1]), "must be 0.02 to 50 mm.* another unit"),
    "micrometres": (np.diag([700.0, 700, 1250, 1]), "must be 0.02 to 50 mm.* another unit"),
    "wrong shape": (np.eye(3), "must be 4x4"),
    "gantry tilt": (
        np.array([[1, 0, 0, 0], [0, 1, -0.3, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        "perpendicular, they are 16.70 degrees off .a tilted gantry",
    ),
    "two axes alike": (
        np.block([[np.array([[1, 1, 0], [14, 14, 0], [1, 1, 10]]) / 10, np.zeros((3, 1))],
                  [np.zeros((1, 3)), np.ones((1, 1))]]),
        "perpendicular, they are 90.00 degrees off",  # a cosine of 1, rounded up
    ),
    "oblique": (
        np.block([[Rotation.from_euler("x", 20, degrees=True).as_matrix(), np.zeros((3, 1))],
                  [np.zeros((1, 3)), np.ones((1, 1))]]),
        "20.0 degrees from the nearest body axis",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("affine", "message"), BAD_AFFINES.values(), ids=BAD_AFFINES.keys())
def test_affine_when_no_scanner_grid_then_refused_by_name(affine, message):
    with pytest.raises(ValueError, match=f"scan.mhd: .*{message}"):
        check_affine(affine, "scan.mhd")


@pytest.mark.parametrize("degrees", [0.02, OBLIQUE_LIMIT_DEGREES - 0.1])
def test_affine_when_within_tolerance_then_accepted(degrees):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    np.testing.assert_array_equal(check_affine(affine), affine)


def test_image_when_direction_scaled_then_refused():
    stretched = image_with(np.diag([1, 1, 1.05]))
    with pytest.raises(ValueError, match="scan.mhd: the direction's columns must have length 1"):
        check_image(stretched, "scan.mhd")


def test_image_when_sheared_then_refused_before_reorienting():
    sheared = image_with([[1, 0, 0], [0, 1, 0.1], [0, 0, np.sqrt(1 - 0.01)]])
    with pytest.raises(ValueError, match="image: the axes must be perpendicular"):
        to_lps(sheared)


def test_image_when_two_dimensional_then_refused():
    with pytest.raises(ValueError, match="scan.mhd: must be a 3D volume, got 2D"):
        check_image(sitk.Image(4, 4, sitk.sitkInt16), "scan.mhd")
    with pytest.raises(ValueError, match="must be 3D, got 2D"):
        affine_of(sitk.Image(4, 4, sitk.sitkInt16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (5, 6, 8)}, "sizes differ: .5, 6, 7. and .5, 6, 8."),
        ({"origin": (-90, 40, -299)}, "up to 1.000 mm apart: origins"),
        ({"spacing": (0.7, 0.8, 2.51)}, "up to 0.060 mm apart: spacings"),
        ({"direction": np.diag([-1, 1, 1])}, "apart: directions"),
    ],
    ids=["size", "origin", "spacing", "direction"],
)
def test_grids_when_different_then_said_how(change, message):
    assert re.search(message, grid_difference(image_with(), image_with(**change)))
    assert grid_difference(image_with(), image_with(**change))


def test_grids_when_differing_by_float32_rounding_then_the_same():
    spacing = [float(np.float32(s)) for s in (0.7, 0.8, 2.5)]
    assert not grid_difference(image_with(), image_with(spacing=spacing))
    assert grid_difference(image_with(), image_with()) == ""


def test_reversed_then_transposed_contiguous_and_a_copy():
    volume = np.random.default_rng(0).normal(size=(3, 4, 5))
    result = reverse_axes(volume)
    np.testing.assert_array_equal(result, volume.transpose(2, 1, 0))
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, volume)


def test_reversed_as_another_type_then_converted():
    result = reverse_axes(np.array([[[-1000.0, 3.0]]]), np.int16)
    assert result.dtype == np.int16
    assert result.ravel().tolist() == [-1000, 3]
