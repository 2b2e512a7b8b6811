"""The body is found without the table, whatever way the volume lies."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.transforms.body_field import BodyFieldd, body_field

SPACING = (2.0, 2.0, 4.0)


def patient_on_a_table():
    """Body: an ellipse with lungs in it; a table that touches it from below. (Z, Y, X)."""
    hu = np.full((12, 100, 120), -1000, np.int16)
    y, x = np.mgrid[:100, :120]
    body = ((y - 45) / 30) ** 2 + ((x - 60) / 40) ** 2 < 1
    hu[:, body] = 40
    hu[:, ((y - 45) / 12) ** 2 + ((x - 45) / 9) ** 2 < 1] = -850
    hu[:, 76:79, 5:115] = 100
    return hu, np.broadcast_to(body, hu.shape)


def test_patient_on_a_table_then_the_body_without_it():
    hu, body = patient_on_a_table()
    found = body_field(hu, SPACING)
    tissue = body & (hu > -400)
    assert (found & tissue).sum() / tissue.sum() > 0.95
    rows = np.nonzero(found.any(axis=(0, 2)))[0]
    columns = np.nonzero(found.any(axis=(0, 1)))[0]
    assert columns.min() >= 15
    assert columns.max() <= 105
    assert rows.max() <= 81


def test_volume_without_tissue_then_everything():
    assert body_field(np.full((4, 20, 20), -1000, np.int16), SPACING).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_transform_then_the_same_body_in_any_axis_order(order):
    hu, _ = patient_on_a_table()
    scaling = np.diag([*np.array(SPACING[::-1])[list(order)], 1.0])
    turned = np.ascontiguousarray(hu.transpose(order))
    image = MetaTensor(torch.from_numpy(turned).float()[None], affine=torch.tensor(scaling))
    result = BodyFieldd("image")({"image": image})["body"]
    expected = body_field(hu, SPACING).transpose(order)
    assert np.array_equal(result[0].numpy(), expected)
    assert torch.equal(result.affine, image.affine)


def test_several_keys_then_refused():
    with pytest.raises(ValueError, match="keys: must be one key"):
        BodyFieldd(["image", "other"])
