import csv

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import Orientationd

from scripts.transforms.lung_field import (
    LungFieldd,
    NoLungsError,
    lung_field,
    lung_field_from_labels,
)
from scripts.volumes.geometry import affine_of, to_lps, world_to_index
from scripts.volumes.readers import read_image

SPACING = (2.5, 2.5, 3.0)
SHAPE = (56, 112, 128)  # z, y, x: 168 x 280 x 320 mm
Z, Y, X = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij")
Z, Y, X = Z * 3.0, Y * 2.5, X * 2.5  # mm from the middle; z to the head, y to the back


def ball(x, y, z, radius):
    return (X - x) ** 2 + (Y - y) ** 2 + (Z - z) ** 2 <= radius**2


def lung(side):
    return ((X - side * 65) / 45) ** 2 + (Y / 65) ** 2 + (Z / 95) ** 2 <= 1


def trachea():
    return ((X**2 + Y**2) <= 9**2) & (Z > -10)


def chest(*, joined=False, lung_hu=-850.0):
    """A body with two lungs, a trachea, gas in the belly, a table, padding, and noise."""
    hu = np.full(SHAPE, -1000.0)
    hu[(X / 140) ** 2 + (Y / 100) ** 2 <= 1] = 40.0
    hu[lung(-1) | lung(1)] = lung_hu
    if joined:
        hu[(np.abs(X) < 30) & (np.abs(Y + 40) < 6) & (np.abs(Z) < 30)] = -850.0
    hu[trachea()] = -1000.0
    hu[ball(0, 10, -70, 14)] = -1000.0  # gas in the gut
    hu[(np.abs(Y - 118) < 8) & (np.abs(X) < 120)] = -100.0  # table, hollow
    hu[(np.abs(Y - 118) < 4) & (np.abs(X) < 115)] = -900.0
    hu += np.random.default_rng(3).normal(0, 15, SHAPE)
    hu[X**2 + Y**2 > 158**2] = -2048  # outside the scanner's field
    return hu.astype(np.int16)


def test_field_when_chest_then_both_lungs_and_nothing_else():
    field = lung_field(chest(), SPACING)
    lungs = lung(-1) | lung(1)
    assert field[lungs].mean() > 0.99
    assert 2 * (field & lungs).sum() / (field.sum() + lungs.sum()) > 0.95
    assert field.dtype == bool
    assert not field[np.abs(Y) > 100].any()
    assert not field[ball(0, 10, -70, 12)].any()
    assert field[trachea()].mean() < 0.02


def test_field_when_lungs_thin_as_in_emphysema_then_kept_and_no_piece_taken_for_airway():
    field = lung_field(chest(lung_hu=-905.0), SPACING)
    assert field[lung(-1)].mean() > 0.99
    assert field[lung(1)].mean() > 0.99
    assert field[trachea()].mean() < 0.02


def test_field_when_lungs_joined_then_both_stay():
    field = lung_field(chest(joined=True), SPACING)
    assert field[lung(-1)].mean() > 0.99
    assert field[lung(1)].mean() > 0.99


@pytest.mark.parametrize(
    ("x", "radius"), [(65, 5), (65, 12), (98, 10), (103, 8)], ids=["small", "large", "on", "in"]
)
def test_field_when_nodule_inside_or_on_the_pleura_then_inside(x, radius):
    hu = chest()
    nodule = ball(x, 0, 10, radius) & lung(1)
    hu[ball(x, 0, 10, radius)] = 30
    assert nodule.any()
    assert lung_field(hu, SPACING)[nodule].mean() > 0.99


def test_field_when_volume_ends_in_the_lungs_then_no_wider_at_the_ends():
    hu = chest()[10:46]
    lungs = (lung(-1) | lung(1))[10:46]
    field = lung_field(hu, SPACING)
    for k in (0, -1):
        assert 2 * (field[k] & lungs[k]).sum() / (field[k].sum() + lungs[k].sum()) > 0.93


def test_field_when_more_air_around_the_patient_then_the_same():
    wide = ((0, 0), (12, 16), (20, 6))
    padded = np.pad(chest(), wide, constant_values=-1000)
    field = np.pad(lung_field(chest(), SPACING), wide)
    assert (lung_field(padded, SPACING) == field).all()


def test_field_when_spacing_fine_then_found_on_a_coarser_grid_and_returned_in_full():
    fine = chest().repeat(2, axis=1).repeat(2, axis=2)[:, :-1, :-1]
    field = lung_field(fine, (1.25, 1.25, 3.0))
    assert field.shape == fine.shape
    again = lung_field(chest(), SPACING)
    assert (field[:, ::2, ::2] == again).mean() > 0.99


def test_field_when_spacing_changes_then_sizes_are_judged_in_mm():
    tenth = tuple(step / 10 for step in SPACING)
    with pytest.raises(NoLungsError):
        lung_field(chest(), tenth)  # lungs of 9 mm are none


@pytest.mark.parametrize("value", [-1000, -3024, 0, 40], ids=["air", "padding", "zeros", "tissue"])
def test_field_when_volume_uniform_then_refused(value):
    with pytest.raises(NoLungsError, match="no lungs in this volume of .* HU .* is it a chest CT"):
        lung_field(np.full((20, 60, 60), value, np.int16), SPACING)


def test_field_when_abdomen_with_gas_then_refused():
    hu = chest()
    hu[lung(-1) | lung(1) | trachea()] = 40
    with pytest.raises(NoLungsError):
        lung_field(hu, SPACING)


@pytest.mark.parametrize(
    ("shape", "spacing", "message"),
    [
        ((4, 4), (1, 1, 1), "volume: must be .Z, Y, X."),
        ((4, 4, 0), (1, 1, 1), "volume: must be .Z, Y, X. and not empty"),
        ((4, 4, 4), (1, 0, 1), "spacing_mm: must be three numbers above 0"),
        ((4, 4, 4), (1, 1), "spacing_mm: must be three numbers above 0"),
    ],
)
def test_field_when_shape_or_spacing_bad_then_refused(shape, spacing, message):
    with pytest.raises(ValueError, match=message):
        lung_field(np.zeros(shape, np.int16), spacing)
    with pytest.raises(ValueError, match=message):
        lung_field_from_labels(np.full(shape, 3, np.uint8), spacing)


def test_labels_when_nodule_cut_off_at_the_pleura_then_closed_and_trachea_left_out():
    nodule = ball(100, 0, 0, 8) & lung(1)
    labels = np.where(lung(1), 3, np.where(lung(-1), 4, 0)).astype(np.uint8)
    labels[nodule] = 0
    labels[trachea()] = 5
    field = lung_field_from_labels(labels, SPACING)
    assert field[nodule].mean() > 0.97
    assert field[np.isin(labels, (3, 4))].all()
    assert not field[labels == 5].any()
    assert field.sum() < 1.15 * (lung(1) | lung(-1)).sum()


def test_labels_when_no_lung_label_then_refused():
    with pytest.raises(NoLungsError, match="must hold 3 .left. or 4 .right lung., got only .0, 5."):
        lung_field_from_labels(np.array([[[0, 5]]]), SPACING)


def lps_tensor(name="scan.mhd"):
    affine = torch.diag(torch.tensor([-2.5, -2.5, 3.0, 1.0], dtype=torch.float64))
    array = torch.from_numpy(chest().transpose(2, 1, 0).astype(np.float32))[None]
    return MetaTensor(array, affine=affine, meta={"filename_or_obj": name})


def test_transform_when_lps_then_same_field_under_its_key_and_turned_with_the_image():
    image = lps_tensor()
    result = LungFieldd("image", lung_key="field")({"image": image, "other": 1})
    expected = lung_field(chest(), SPACING).transpose(2, 1, 0)[None]
    np.testing.assert_array_equal(np.asarray(result["field"]), expected)
    assert result["field"].dtype == torch.uint8
    assert result["image"] is image
    turned = Orientationd(["image", "field"], axcodes="PLS", labels=None)(result)
    np.testing.assert_array_equal(np.asarray(turned["field"]), expected.transpose(0, 2, 1, 3))
    torch.testing.assert_close(turned["field"].affine, turned["image"].affine)


def test_transform_when_image_unfit_then_refused_by_name():
    image = lps_tensor("scan7.mhd")
    ras = MetaTensor(image.clone(), meta={**image.meta, "affine": torch.eye(4)})
    with pytest.raises(ValueError, match="scan7.mhd: axes must run LPS; put Orientationd"):
        LungFieldd("image")({"image": ras})
    with pytest.raises(ValueError, match="scan7.mhd: must be a .1, X, Y, Z. MetaTensor"):
        LungFieldd("image")({"image": image[0]})
    with pytest.raises(ValueError, match="image: must be a .1, X, Y, Z. MetaTensor, got Tensor"):
        LungFieldd("image")({"image": torch.zeros(1, 2, 2, 2)})
    with pytest.raises(NoLungsError, match="scan7.mhd: hu_zyx: no lungs"):
        LungFieldd("image")({"image": image * 0})
    with pytest.raises(ValueError, match="keys: must be one key"):
        LungFieldd(["image", "label"])


@pytest.mark.real
@pytest.mark.parametrize(("ends", "litres"), [("264", (2.0, 8.0)), ("919", (1.0, 3.0))])
def test_field_when_real_then_nodules_inside_and_volume_plausible(real_data, ends, litres):
    path = next((real_data / "luna16" / "subset0").glob(f"*{ends}.mhd"))
    image = to_lps(read_image(path))
    field = lung_field(sitk.GetArrayViewFromImage(image), image.GetSpacing())
    assert litres[0] < field.sum() * np.prod(image.GetSpacing()) / 1e6 < litres[1]
    votes = real_data / "luna16" / "reference_masks" / f"{path.stem}_nodule_votes.nii.gz"
    nodules = sitk.GetArrayFromImage(to_lps(read_image(votes))) >= 2
    assert field[nodules].mean() >= 0.99
    with (real_data / "luna16" / "annotations.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["seriesuid"] == path.stem]
    for row in rows:
        centre = [float(row[f"coord{axis}"]) for axis in "XYZ"]
        index = np.rint(world_to_index(centre, affine_of(image))).astype(int)
        assert field[tuple(index[::-1])]
