import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from scripts.transforms.grid_crop import CropOnGridd


def item(shape=(70, 100, 6), start=(35, 40, 2), end=(50, 60, 4)):
    region = torch.zeros(1, *shape)
    region[(0, *(slice(*pair) for pair in zip(start, end, strict=True)))] = 1
    image = MetaTensor(torch.rand(1, *shape), affine=torch.eye(4, dtype=torch.float64))
    return {"image": image, "region": MetaTensor(region)}


def crop(margin=(0, 0, 0)):
    return CropOnGridd(["image", "region"], "region", margin=margin, grid=(32, 32, 1))


def test_cropped_then_from_grid_line_to_grid_line():
    data = item()
    cropped = crop()(data)["image"]
    assert torch.equal(cropped.as_tensor(), data["image"].as_tensor()[:, 32:64, 32:64, 2:4])


def test_margin_when_it_leaves_the_image_then_ends_there():
    data = item()
    cropped = crop(margin=(20, 40, 9))(data)["image"]
    assert torch.equal(cropped.as_tensor(), data["image"].as_tensor()[:, :70, :100])


def test_inverted_then_at_its_place_and_nothing_around():
    data = item()
    transform = Compose([crop()])
    result = transform(data)
    inverted = Invertd("image", transform, orig_keys="image")(result)["image"]
    assert torch.equal(inverted[:, 32:64, 32:64, 2:4], data["image"][:, 32:64, 32:64, 2:4])
    assert inverted.shape == data["image"].shape
    assert float(inverted.sum()) == pytest.approx(float(result["image"].sum()), rel=1e-4)


def test_what_halves_five_times_then_gives_the_same_on_the_crop():
    data = item()
    whole = torch.nn.functional.max_pool2d(data["image"].as_tensor()[..., 2], 32)
    cropped = torch.nn.functional.max_pool2d(crop()(data)["image"].as_tensor()[..., 0], 32)
    assert torch.equal(cropped[0, 0, 0], whole[0, 1, 1])


def test_grid_when_below_1_then_refused():
    with pytest.raises(ValueError, match=r"at least 1 along each axis, got \[32, 0, 1\]"):
        CropOnGridd("image", "region", margin=(0, 0, 0), grid=[32, 0, 1])
