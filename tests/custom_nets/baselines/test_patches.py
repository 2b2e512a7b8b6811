import math

import pytest
import torch

from custom_nets.baselines.patches import check_patch, far_patch, near_patch
from tests.custom_nets.baselines.patch_shapes import NOT_PATCHES


def test_near_patch_then_has_the_middle_pixels_unchanged():
    image = torch.arange(2 * 3 * 65 * 65).float().view(2, 3, 65, 65)
    assert torch.equal(near_patch(image), image[:, :, 15:50, 15:50])


def cubic_weights(source, target):
    """Matrix (target, source) of Keys' cubic interpolation (a = -0.75) with corners on corners."""
    matrix = torch.zeros(target, source)
    for row in range(target):
        position = row * (source - 1) / (target - 1)
        first = math.floor(position) - 1
        for pixel in range(first, first + 4):
            d, a = abs(position - pixel), -0.75
            near = (a + 2) * d**3 - (a + 3) * d**2 + 1
            far = a * (d**3 - 5 * d**2 + 8 * d - 4)
            matrix[row, min(max(pixel, 0), source - 1)] += near if d <= 1 else far
    return matrix


def test_far_patch_then_is_cubic_interpolation_with_corners_on_corners():
    image = torch.rand(2, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    weights = cubic_weights(65, 35)
    expected = torch.einsum("ri,bcij,sj->bcrs", weights, image, weights)
    torch.testing.assert_close(far_patch(image), expected, rtol=1e-4, atol=1e-5)


def test_patches_then_both_have_the_voxel_in_the_middle():
    image = torch.zeros(1, 3, 65, 65)
    image[0, :, 32, 32] = 1
    assert near_patch(image)[0, 0].argmax() == far_patch(image)[0, 0].argmax() == 17 * 35 + 17
    assert near_patch(image).shape == far_patch(image).shape == (1, 3, 35, 35)


def test_check_when_the_shape_is_right_then_passes():
    check_patch(torch.zeros(4, 3, 65, 65))
    check_patch(torch.zeros(1, 2, 9, 9), planes=2, size=9)


@pytest.mark.parametrize("shape", [*NOT_PATCHES, (1, 3, 65, 64)], ids=str)
def test_check_when_the_shape_is_wrong_then_refuses_and_names_the_inferer(shape):
    with pytest.raises(ValueError, match=r"\(B, 3, 65, 65\) around .* got \[.*CentreVoxelInferer"):
        check_patch(torch.zeros(shape))
