import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.transforms.checked_label import CheckedLabeld

AFFINE_LPS = np.array([[-1, 0, 0, 20], [0, -1, 0, 30], [0, 0, 2.0, -40], [0, 0, 0, 1.0]])
RAS = np.diag([-1.0, -1, 1, 1])


def sample(numbers=(1, 2), *, listed=((1, (5, 6, 4)), (2, (12, 6, 9))), shift=(0, 0, 0)):
    """Two objects of 3 x 3 x 3 voxels, and what is listed of them, at indices (i, j, k)."""
    label = np.zeros((1, 16, 14, 12), np.float32)
    for number, (i, j, k) in zip(numbers, ((5, 6, 4), (12, 6, 9)), strict=True):
        label[0, i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2] = number
    moved = AFFINE_LPS.copy()
    moved[:3, 3] += shift
    affines = [torch.from_numpy(RAS @ affine) for affine in (AFFINE_LPS, moved)]
    nodules = [
        {"id": n, "diameter_mm": 4.0, "centre_lps_mm": (AFFINE_LPS @ [*index, 1])[:3].tolist()}
        for n, index in listed
    ]
    return {
        "image": MetaTensor(torch.zeros(1, 16, 14, 12), affine=affines[0]),
        "label": MetaTensor(torch.from_numpy(label), affine=affines[1]),
        "series_uid": "1.2",
        "nodules": nodules,
    }


def test_label_as_listed_then_the_sample_as_it_came():
    given = sample()
    checked = CheckedLabeld()(given)
    assert checked.keys() == given.keys()
    assert all(checked[key] is given[key] for key in given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (sample(shift=(60, 0, 0)), "1.2: not on the grid of its image: voxels lie up to 60"),
        (sample(shift=(0, 0, -60)), "voxels lie up to 60"),
        (sample((1, 1)), "object 2 has no voxel around its centre"),
        (sample((1, 3)), r"it holds the numbers \[3\], which are not listed"),
        (sample(listed=((1, (5, 6, 4)),)), r"it holds the numbers \[2\]"),
        (sample((2, 1)), "object 1 has no voxel around"),
        (sample(listed=((1, (5, 6, 4)), (2, (12, 6, 2)))), "object 2 has no voxel around"),
        (sample(listed=((1, (5, 6, 4)), (2, (-40, 6, 2)))), "object 2 has no voxel around"),
        (sample((0, 0)), "object 1 has no voxel around"),
    ],
    ids=[
        *("shifted to the side", "shifted along z", "binary", "other number", "not listed"),
        *("exchanged", "elsewhere", "outside", "empty"),
    ],
)
def test_label_that_contradicts_then_refused_by_the_samples_name(given, message):
    with pytest.raises(ValueError, match=f"label: .*{message}"):
        CheckedLabeld()(given)


def test_label_of_another_size_then_refused():
    given = sample()
    given["label"] = given["label"][..., :-1]
    with pytest.raises(ValueError, match="sizes differ"):
        CheckedLabeld()(given)


def test_sample_without_a_list_then_only_its_grid_is_checked():
    given = {key: value for key, value in sample((1, 7)).items() if key != "nodules"}
    assert CheckedLabeld()(given)["label"] is given["label"]
    shifted = {key: value for key, value in sample(shift=(0, 1, 0)).items() if key != "nodules"}
    with pytest.raises(ValueError, match="not on the grid"):
        CheckedLabeld()(shifted)
