import pytest
import torch
from monai.data import MetaTensor

from scripts.transforms.neighbours import StackNeighboursd, stack_neighbours


def test_neighbours_when_inside_then_slice_below_itself_and_above():
    volume = torch.randn(1, 4, 5, 6)
    stacked = stack_neighbours(volume)
    assert stacked.shape == (3, 4, 5, 6)
    assert torch.equal(stacked[:, ..., 3], volume[0, ..., 2:5].movedim(-1, 0))


def test_neighbours_when_at_the_edges_then_repeated():
    volume = torch.randn(1, 4, 5, 6)
    stacked = stack_neighbours(volume, each_side=2)
    assert torch.equal(stacked[0, ..., 0], volume[0, ..., 0])
    assert torch.equal(stacked[4, ..., 5], volume[0, ..., 5])


def test_neighbours_then_no_larger_than_the_volume_with_its_edges():
    stacked = stack_neighbours(torch.randn(1, 4, 5, 6))
    assert stacked.untyped_storage().nbytes() == 4 * 4 * 5 * (6 + 2)
    assert stacked[..., 2].is_contiguous()


def test_neighbours_of_dictionary_then_affine_and_history_are_kept():
    affine = torch.diag(torch.tensor([0.7, 0.7, 2.5, 1.0], dtype=torch.float64))
    image = MetaTensor(torch.randn(1, 4, 5, 6), affine=affine)
    image.push_applied_operation({"class": "Earlier"})
    result = StackNeighboursd("image")({"image": image})["image"]
    assert torch.equal(result.affine, affine)
    assert result.applied_operations == image.applied_operations


def test_neighbours_when_several_channels_then_refused():
    with pytest.raises(ValueError, match=r"must be \(1, H, W, D\), got \(2, 4, 5, 6\)"):
        stack_neighbours(torch.zeros(2, 4, 5, 6))
