"""A hand-drawn slice: its geometry, its number in the stored CT, and refusals."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, SpatialCrop

from scripts.retraining.adapt.drawn_slice import Drawing, slice_numbers
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.geometry import lps_to_ras
from tests.scripts.prediction.shapes import ORDERS, lps_affine, stored, stored_affine

NAMES = ("background", "liver", "bone", "kidney")
SHAPE = (6, 8, 10)  # z, y, x
AFFINE = lps_affine((2.0, 3.0, 5.0), (-10.0, 4.0, 7.0))
AXIAL = [order for order in ORDERS if order[0][0] == 0]


def mask_of(*slices, value=1):
    """A volume in LPS order with an asymmetric drawing on some slices."""
    mask = np.zeros(SHAPE, np.uint8)
    for k in slices:
        mask[k, 2:4, 5:9] = value
        mask[k, 5, 1] = value
    return mask


def image_of(order=((0, 1, 2), (1, 1, 1)), crop=0):
    """The input of a network: rows to the back, columns to the left, cropped at the front."""
    axes, flips = order
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    kept = stored(values, axes, flips)
    affine = lps_to_ras(stored_affine(AFFINE, SHAPE, axes, flips))
    meta = {"original_affine": affine, "spatial_shape": np.array(kept.shape[::-1])}
    image = MetaTensor(torch.from_numpy(kept.transpose(2, 1, 0))[None], affine=affine, meta=meta)
    turned = Orientation(axcodes="PLS", labels=None)(image)
    return SpatialCrop(roi_start=(crop, 0, 0), roi_end=turned.shape[1:])(turned)


def written(path, mask, affine=AFFINE):
    nibabel.save(nifti_of(mask, affine), path)
    return path


def read(path, number=None, names=NAMES, lesions=False):
    return Drawing.read(path, number, class_names=names, lesions=lesions)


@pytest.mark.parametrize("order", AXIAL, ids=str)
def test_drawing_in_any_order_of_the_ct_then_the_same_voxels_and_the_stored_number(tmp_path, order):
    image = image_of(order)
    drawing = read(written(tmp_path / "mask.nii.gz", mask_of(4)))
    drawn = drawing.on(image)
    expected = mask_of(4)[drawn.index]
    np.testing.assert_array_equal(drawn.label[0], expected)
    values = image.as_tensor()[0, ..., drawn.index][drawn.label[0] > 0]
    inside = np.arange(np.prod(SHAPE)).reshape(SHAPE)[mask_of(4) > 0]
    assert sorted(values.tolist()) == inside.tolist()
    assert drawn.number == (4 if order[1][0] == 1 else 1)
    assert slice_numbers(image)[drawn.index] == drawn.number
    assert (drawn.voxels, drawn.outside, drawn.classes) == (9, 0, (1,))
    assert drawn.known.tolist() == [True, True, False, False]


@pytest.mark.parametrize("order", [AXIAL[0], AXIAL[-1]], ids=str)
def test_drawing_stored_in_another_order_than_the_ct_then_the_same_voxels(tmp_path, order):
    axes, flips = (0, 2, 1), (-1, 1, -1)
    turned = stored(mask_of(2), axes, flips)
    path = written(tmp_path / "mask.nii.gz", turned, stored_affine(AFFINE, SHAPE, axes, flips))
    drawn = read(path).on(image_of(order))
    np.testing.assert_array_equal(drawn.label[0], mask_of(2)[2])


def test_file_of_one_slice_then_its_position_says_which(tmp_path):
    affine = AFFINE.copy()
    affine[2, 3] += 3 * 5.0
    path = written(tmp_path / "slice.nii.gz", mask_of(3)[3:4], affine)
    drawn = read(path, 3).on(image_of())
    assert (drawn.index, drawn.number, drawn.voxels) == (3, 3, 9)
    with pytest.raises(ValueError, match="nothing is drawn on slice 2; drawn on: 3"):
        read(path, 2).on(image_of())


def test_drawing_partly_outside_the_input_then_counted(tmp_path):
    path = written(tmp_path / "mask.nii.gz", mask_of(1))
    drawn = read(path).on(image_of(crop=3))
    assert (drawn.voxels, drawn.outside, int(drawn.label.sum())) == (9, 4, 5)
    with pytest.raises(ValueError, match="nothing drawn in slice 1 lies in the region"):
        read(path).on(image_of(crop=6))


def test_several_slices_drawn_then_one_must_be_named(tmp_path):
    path = written(tmp_path / "mask.nii.gz", mask_of(1, 4))
    with pytest.raises(ValueError, match=r"slice: must be given, .* 2 slices \(1, 4\)"):
        read(path).on(image_of())
    assert read(path, 4).on(image_of()).number == 4


@pytest.mark.parametrize(
    ("number", "told"),
    [(6, "slice: must be 0 to 5, .* got 6"), (3, "nothing is drawn on slice 3; drawn on: 1")],
)
def test_slice_without_drawing_then_refused(tmp_path, number, told):
    path = written(tmp_path / "mask.nii.gz", mask_of(1))
    with pytest.raises(ValueError, match=told):
        read(path, number).on(image_of())


@pytest.mark.parametrize("moved", [(0.0, 0.0, 60.0), (1.0, 0.0, 0.0)], ids=["along z", "across"])
def test_mask_of_another_geometry_then_refused(tmp_path, moved):
    affine = AFFINE.copy()
    affine[:3, 3] += moved
    path = written(tmp_path / "mask.nii.gz", mask_of(1), affine)
    with pytest.raises(ValueError, match="annotated: must have the geometry of the image.* mm"):
        read(path).on(image_of())


def test_mask_of_another_size_then_refused(tmp_path):
    path = written(tmp_path / "mask.nii.gz", mask_of(1)[:, :, :-1])
    with pytest.raises(ValueError, match=r"annotated: .*sizes differ: \(10, 8, 6\)"):
        read(path).on(image_of())


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (mask_of(), "nothing is drawn"),
        (mask_of(2, value=255), r"0 background, 1 liver, 2 bone, 3 kidney\), got 255"),
        (mask_of(2).astype(np.float32) / 2, "whole numbers from 0 on, got 0 to 0.5"),
    ],
    ids=["empty", "255", "fractions"],
)
def test_values_that_are_no_classes_then_refused(tmp_path, mask, told):
    with pytest.raises(ValueError, match=f"annotated: .*{told}"):
        read(written(tmp_path / "mask.nii.gz", mask))


def test_lesions_of_any_number_then_one_class(tmp_path):
    path = written(tmp_path / "mask.nii.gz", mask_of(2, value=255))
    drawn = read(path, names=("background", "nodule"), lesions=True).on(image_of())
    assert drawn.classes == (1,)
    assert int(drawn.label.max()) == 1
