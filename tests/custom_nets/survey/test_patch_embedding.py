import pytest
import torch
from torch.nn import functional

from custom_nets.survey.patch_embedding import PatchEmbedding, kernel_for


def by_hand(network, patches, convolve, pool):
    """The network's output, computed from its weights alone."""
    state = network.state_dict()
    values = patches
    for k, (layer, norm) in enumerate(((0, 1), (4, 5), (7, 8))):
        weight, bias = (state[f"convolutions.{layer}.{part}"] for part in ("weight", "bias"))
        names = ("running_mean", "running_var", "weight", "bias")
        statistics = [state[f"convolutions.{norm}.{part}"] for part in names]
        values = torch.relu(functional.batch_norm(convolve(values, weight, bias), *statistics))
        values = pool(values, 2) if k == 0 else values
    first, second = (
        [state[f"connected.{layer}.{part}"] for part in ("weight", "bias")] for layer in (1, 3)
    )
    values = functional.linear(torch.relu(functional.linear(values.flatten(1), *first)), *second)
    return values / values.norm(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("dims", "channels", "patch", "convolve", "pool"),
    [
        (2, 3, 27, functional.conv2d, functional.max_pool2d),
        (2, 3, 15, functional.conv2d, functional.max_pool2d),
        (3, 1, 13, functional.conv3d, functional.max_pool3d),
    ],
    ids=["2.5D", "small patch", "3D"],
)
def test_features_when_computed_by_hand_then_equal(dims, channels, patch, convolve, pool):
    torch.manual_seed(0)
    network = PatchEmbedding(dims, in_channels=channels, patch=patch)
    patches = torch.rand(3, channels, *[patch] * dims)
    network.train()(patches)  # statistics other than 0 and 1
    network.eval()
    found = network(patches)
    assert torch.allclose(found, by_hand(network, patches, convolve, pool), atol=1e-5)
    assert torch.allclose(found.norm(dim=1), torch.ones(3))


def test_parameters_of_the_cubes_of_the_paper_then_as_counted_by_hand():
    network = PatchEmbedding(3, in_channels=1, patch=27)
    convolutions = (125 * 1 + 1) * 50 + 2 * (125 * 50 + 1) * 50 + 3 * 2 * 50
    connected = (50 * 3**3 + 1) * 1350 + (1350 + 1) * 160
    assert sum(p.numel() for p in network.parameters()) == convolutions + connected
    assert network.connected[1].in_features == 1350  # the number of neurons that is known


def test_parameters_of_three_slices_then_as_counted_by_hand():
    network = PatchEmbedding(2, in_channels=3, patch=27)
    convolutions = (25 * 3 + 1) * 50 + 2 * (25 * 50 + 1) * 50 + 3 * 2 * 50
    connected = (50 * 3**2 + 1) * 1350 + (1350 + 1) * 160
    assert sum(p.numel() for p in network.parameters()) == convolutions + connected


@pytest.mark.parametrize(("patch", "kernel"), [(12, 3), (21, 3), (22, 5), (27, 5)])
def test_kernel_when_patch_is_small_then_smaller(patch, kernel):
    assert kernel_for(patch) == kernel
    network = PatchEmbedding(2, patch=patch).eval()
    assert network(torch.rand(1, 3, patch, patch)).shape == (1, 160)


def test_patch_when_too_small_then_refused_with_the_least():
    with pytest.raises(ValueError, match="patch: must be at least 12 pixels, got 11"):
        PatchEmbedding(2, patch=11)


def test_dimensions_other_than_2_and_3_then_refused():
    with pytest.raises(ValueError, match="spatial_dims: must be 2 or 3, got 1"):
        PatchEmbedding(1)
