"""Numbers, sizes and places of single objects."""

import numpy as np
import pytest

from scripts.datasets.instance_maps import (
    find_windows,
    measure_objects,
    number_components,
    place_objects,
    whole_numbers,
)


@pytest.mark.parametrize("value", [-1, 256, 0.5, np.nan])
def test_whole_numbers_when_a_value_is_none_then_refused_by_file(value: float) -> None:
    with pytest.raises(ValueError, match=r"label\.nii\.gz: must hold whole numbers 0 to 255"):
        whole_numbers(np.array([0.0, value, 1.0]), "label.nii.gz")


def test_number_components_when_voxels_share_a_corner_then_one_object() -> None:
    mask = np.zeros((3, 3, 6), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 5] = True
    numbered = number_components(mask, "label")
    assert numbered[0, 0, 0] == numbered[1, 1, 1] != numbered[2, 2, 5]
    assert numbered.dtype == np.uint8
    assert set(numbered[mask]) == {1, 2}


def test_number_components_when_more_than_a_byte_tells_apart_then_refused() -> None:
    mask = np.zeros((1, 32, 64), bool)
    mask[0, ::2, ::2] = True
    with pytest.raises(ValueError, match="at most 255 objects in one scan, got 512 separate"):
        number_components(mask, "label")


def test_measure_objects_when_grid_is_flipped_then_centre_in_mm_and_equal_volume() -> None:
    instances = np.zeros((6, 8, 10), np.uint8)
    instances[2:4, 3:6, 1:5] = 7
    affine = np.array([[-0.5, 0, 0, 40], [0, 0.5, 0, -3], [0, 0, 2, 100], [0, 0, 0, 1.0]])
    (one,) = measure_objects(instances, affine)
    assert one["id"] == 7
    assert one["centre_lps_mm"] == pytest.approx([40 - 0.5 * 2.5, -3 + 0.5 * 4, 100 + 2 * 2.5])
    assert np.pi / 6 * one["diameter_mm"] ** 3 == pytest.approx(2 * 3 * 4 * 0.5)


def test_find_windows_when_numbers_are_missing_then_only_those_there() -> None:
    instances = np.zeros((6, 8, 10), np.uint8)
    instances[4, 1, 2] = 3
    assert find_windows(instances) == {3: (slice(4, 5), slice(1, 2), slice(2, 3))}
    assert find_windows(np.zeros((2, 2, 2), np.uint8)) == {}


def test_place_objects_then_slices_and_the_central_one_by_centre_or_by_area() -> None:
    label = np.zeros((5, 4, 4), np.uint8)
    label[1:4, 1, 1] = 3
    label[3, 1:3, 1:3] = 3
    objects = [{"id": 3, "centre_lps_mm": [1, 1, 2.2], "diameter_mm": 3.0, "rating": 5}]
    (by_centre,) = place_objects(label, objects, np.eye(4), by_centre=True)
    (by_area,) = place_objects(label, objects, np.eye(4), by_centre=False)
    assert (by_centre["slices"], by_centre["voxels"], by_centre["rating"]) == ([1, 2, 3], 6, 5)
    assert (by_centre["central"], by_area["central"]) == (2, 3)


def test_place_objects_when_one_has_no_voxel_then_refused() -> None:
    objects = [{"id": 2, "centre_lps_mm": [0, 0, 0]}]
    with pytest.raises(ValueError, match="object 2 at .*: has no voxel in the label"):
        place_objects(np.ones((2, 2, 2), np.uint8), objects, np.eye(4), by_centre=True)
