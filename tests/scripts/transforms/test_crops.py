import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.transforms.crops import RandCropWithLabeld


def item(shape=(40, 50), voxel=(20, 30)):
    label = torch.zeros(1, *shape)
    label[(0, *voxel)] = 1
    image = torch.arange(float(label.numel())).reshape(1, *shape)
    affine = torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    return {"image": MetaTensor(image, affine=affine), "label": MetaTensor(label), "case": 7}


def crop(**options):
    transform = RandCropWithLabeld(["image", "label"], "label", (16, 16), **options)
    return transform.set_random_state(seed=0)


def test_patches_that_must_hold_the_label_then_hold_it_anywhere():
    transform, places = crop(share=1.0), []
    for _ in range(300):
        (patch,) = transform(item())
        assert patch["label"].shape == (1, 16, 16)
        places.append(torch.nonzero(patch["label"][0])[0].numpy())
    counts = np.histogram(np.array(places)[:, 0], bins=4, range=(0, 16))[0]
    assert counts.min() > 300 / 4 * 0.6


def test_label_at_the_border_then_the_patch_stays_inside():
    for voxel in [(0, 0), (39, 49), (0, 49)]:
        (patch,) = crop(share=1.0)(item(voxel=voxel))
        assert patch["label"].sum() == 1
        assert patch["image"].shape == (1, 16, 16)


def test_share_of_none_then_the_label_is_mostly_missed():
    transform = crop(share=0.0)
    assert np.mean([float(transform(item())[0]["label"].sum()) for _ in range(200)]) < 0.3


def test_image_and_label_then_cropped_alike_with_their_place_in_the_affine():
    (patch,) = crop(share=1.0)(item())
    row, column = torch.nonzero(patch["label"][0])[0].tolist()
    assert patch["image"][0, row, column] == 20 * 50 + 30
    assert patch["image"].affine[0, 3] == 2.0 * (20 - row)
    assert patch["case"] == 7


def test_image_smaller_than_the_patch_then_taken_whole_along_that_axis():
    (patch,) = crop()(item(shape=(10, 50), voxel=(5, 5)))
    assert patch["image"].shape == (1, 10, 16)


def test_volume_then_single_slices_as_many_as_asked_for():
    transform = RandCropWithLabeld(
        ["image", "label"], "label", (16, 16, 1), share=1.0, num_samples=3
    )
    patches = transform(item(shape=(40, 50, 6), voxel=(20, 30, 4)))
    assert [tuple(p["label"].shape) for p in patches] == [(1, 16, 16, 1)] * 3
    assert all(p["label"].sum() == 1 for p in patches)


def test_same_seed_then_same_patches():
    first, second = crop()(item()), crop()(item())
    assert torch.equal(first[0]["image"], second[0]["image"])


def test_patch_of_other_axes_then_refused():
    with pytest.raises(ValueError, match=r"must have 3 numbers, got \(16, 16\)"):
        crop()(item(shape=(40, 50, 6), voxel=(1, 1, 1)))


def test_share_beyond_one_then_refused():
    with pytest.raises(ValueError, match="from 0 to 1, got 75"):
        crop(share=75)
