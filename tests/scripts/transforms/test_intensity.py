import pytest
import torch
from monai.data import MetaTensor

from scripts.transforms.intensity import WindowHU, WindowHUd

HU = torch.tensor([[-3024.0, -1000.0, -300.0, 400.0, 5892.0]])


def test_window_when_outside_is_zero_then_both_ends_are_black():
    assert WindowHU((-1000, 400), outside="zero")(HU).tolist() == [[0.0, 0.0, 0.5, 1.0, 0.0]]


def test_window_when_outside_is_clip_then_metal_is_white():
    assert WindowHU((-1000, 400), outside="clip")(HU).tolist() == [[0.0, 0.0, 0.5, 1.0, 1.0]]


def test_window_when_int16_then_float32():
    assert WindowHU((0, 10))(torch.tensor([5], dtype=torch.int16)).dtype == torch.float32


def test_window_of_dictionary_then_affine_is_kept():
    affine = torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    image = MetaTensor(HU.reshape(1, 1, 5), affine=affine)
    result = WindowHUd("image", (-1000, 400))({"image": image, "label": 1})
    assert torch.equal(result["image"].affine, affine)
    assert result["label"] == 1


def test_window_when_reversed_then_refused():
    with pytest.raises(ValueError, match=r"lower bound must be below upper, got \(400"):
        WindowHU((400, -1000))


def test_window_when_outside_unknown_then_valid_ones_are_listed():
    with pytest.raises(ValueError, match="one of zero, clip, got 'wrap'"):
        WindowHU((0, 1), outside="wrap")
