import itertools

import pytest
import torch
from torch.nn import functional

from custom_nets.baselines.central_pooling import CentralPooling, central_windows

# 11 = 3 + 2 + 1 + 2 + 3; the windows' last pixels along a side
EDGES = [0, 3, 5, 6, 8, 11]


def test_pooling_when_worked_out_by_hand_then_the_largest_of_each_window():
    image = torch.arange(121.0).reshape(1, 1, 11, 11)
    found = CentralPooling(11)(image)[0, 0]
    # rising values: each window's largest is its last pixel, row r column c holds 11 r + c
    last = [edge - 1 for edge in EDGES[1:]]
    assert found.tolist() == [[11.0 * row + column for column in last] for row in last]


def test_pooling_when_values_are_random_then_the_largest_of_each_window():
    image = torch.randn(2, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    found = CentralPooling(11)(image)
    spans = list(itertools.pairwise(EDGES))
    for (i, (top, bottom)), (j, (left, right)) in itertools.product(enumerate(spans), repeat=2):
        expected = image[..., top:bottom, left:right].amax(dim=(2, 3))
        assert torch.equal(found[..., i, j], expected)


def test_middle_then_kept_pixel_by_pixel_and_the_border_summed_up():
    pooling = CentralPooling(35)
    image = torch.randn(1, 1, 35, 35, generator=torch.Generator().manual_seed(0))
    middle = pooling(image)[0, 0, 6:11, 6:11]
    assert torch.equal(middle, image[0, 0, 15:20, 15:20])
    moved_within_a_window = image.clone()
    moved_within_a_window[0, 0, :3, :3] = image[0, 0, :3, :3].flip(0)
    assert torch.equal(pooling(moved_within_a_window), pooling(image))
    moved_in_the_middle = image.clone()
    moved_in_the_middle[0, 0, 15:20, 15:20] = image[0, 0, 15:20, 15:20].flip(0)
    assert not torch.equal(pooling(moved_in_the_middle), pooling(image))


def test_middle_then_distinguished_where_usual_pooling_to_the_same_size_does_not():
    image = torch.zeros(1, 1, 35, 35)
    image[0, 0, 17, 17] = 1
    beside = image.roll(-1, dims=3)
    assert functional.max_pool2d(image, 2).shape == CentralPooling(35)(image).shape
    assert torch.equal(functional.max_pool2d(image, 2), functional.max_pool2d(beside, 2))
    assert not torch.equal(CentralPooling(35)(image), CentralPooling(35)(beside))


@pytest.mark.parametrize("size", [11, 17, 30, 35, 65])
def test_windows_then_tile_the_side_narrow_inwards_and_mirror(size):
    widths = central_windows(size)
    assert sum(widths) == size
    assert widths == widths[::-1]
    half = widths[: (len(widths) + 1) // 2]
    assert half == sorted(half, reverse=True)
    assert set(widths) == {1, 2, 3}


def test_gradient_then_goes_to_the_largest_only():
    image = torch.arange(121.0).reshape(1, 1, 11, 11).requires_grad_()
    CentralPooling(11)(image).sum().backward()
    assert image.grad.sum() == 25
    assert image.grad.max() == 1


@pytest.mark.parametrize("size", [0, 10])
def test_size_when_too_small_then_refused(size):
    with pytest.raises(ValueError, match=f"at least 11 pixels; got {size}"):
        CentralPooling(size)


def test_map_when_of_another_size_then_refused():
    with pytest.raises(ValueError, match=r"input must be \(B, C, 11, 11\); got \[1, 1, 11, 12\]"):
        CentralPooling(11)(torch.zeros(1, 1, 11, 12))
