import numpy as np
import pytest
import torch

from scripts.transforms.lung_field import NoLungsError
from scripts.unsupervised.clusters.patch_grid import (
    ImagePatches,
    PatchGrid,
    bounding_box,
    grid_steps,
    region_named,
)
from scripts.volumes.volume import Volume


def chest():
    """A cylinder of tissue with two lungs, on a table, in air; 2 mm voxels."""
    y, x = np.mgrid[:100, :120] - np.array([45.0, 60.0])[:, None, None]
    hu = np.full((20, 100, 120), -1000, np.int16)
    hu[:, (y / 38) ** 2 + (x / 50) ** 2 < 1] = 40
    for side in (-1, 1):
        hu[:, (y / 25) ** 2 + ((x - side * 22) / 16) ** 2 < 1] = -850
    hu[:, 95:98, 20:100] = 100
    return Volume(hu, np.diag([2.0, 2.0, 2.0, 1.0]))


def test_body_then_with_lungs_and_without_table():
    region = region_named(chest(), "body")
    assert region[10, 45, 38]
    assert region[10, 45, 60]
    assert not region[:, 95:].any()
    assert not region[:, :3].any()


def test_lung_then_without_the_chest_wall():
    region = region_named(chest(), "lung")
    assert region[10, 45, 38]
    assert not region[10, 45, 14]
    assert not region[10, 9, 60]


@pytest.mark.parametrize("name", ["body", "lung"])
def test_box_then_smallest_around_the_region(name):
    region, box = (region_named(chest(), word) for word in (name, f"{name}_box"))
    assert box[bounding_box(region)].all()
    assert box.sum() == region[bounding_box(region)].size
    assert not (region & ~box).any()


def test_all_then_every_voxel():
    assert region_named(chest(), "all").all()


def test_lung_without_lungs_then_refused():
    with pytest.raises(NoLungsError):
        region_named(Volume(np.full((10, 40, 40), 40, np.int16), np.eye(4)), "lung_box")


def test_steps_when_slices_are_thick_then_fewer():
    assert grid_steps(4, (0.5, 0.5, 0.5)) == (4, 4, 4)
    assert grid_steps(4, (0.5, 0.5, 1.0)) == (2, 4, 4)
    assert grid_steps(2, (0.5, 0.5, 5.0)) == (1, 2, 2)


@pytest.mark.parametrize("steps", [(1, 1, 1), (2, 3, 3), (3, 5, 4)])
def test_labels_of_cells_then_every_voxel_of_the_region_has_that_of_its_cell(steps):
    region = np.random.default_rng(0).random((7, 16, 18)) < 0.3
    grid = PatchGrid(region, steps)
    centres = grid.centres()
    labels = np.arange(len(centres)) % 255 + 1
    found = grid.project(labels)
    cells = {tuple(c // np.array(steps)): n for c, n in zip(centres, labels, strict=True)}
    assert len(cells) == len(centres)
    assert not found[~region].any()
    for voxel in np.argwhere(region):
        assert found[tuple(voxel)] == cells[tuple(voxel // np.array(steps))]


def test_cells_then_centre_in_the_middle_and_inside_the_volume():
    grid = PatchGrid(np.ones((4, 7, 7), bool), (3, 3, 3))
    centres = grid.centres()
    assert centres[0].tolist() == [1, 1, 1]
    assert centres[-1].tolist() == [3, 6, 6]  # the last cells are cut off


def test_patch_of_three_slices_then_the_voxels_around():
    image = np.random.default_rng(0).random((5, 40, 40)).astype(np.float32)
    found = ImagePatches(image, 13).at(np.array([[2, 20, 21]]))
    assert torch.equal(found, torch.from_numpy(image[None, 1:4, 14:27, 15:28]))


def test_cube_then_the_voxels_around_in_one_channel():
    image = np.random.default_rng(0).random((30, 40, 40)).astype(np.float32)
    found = ImagePatches(image, 13, 3).at(np.array([[15, 20, 21]]))
    assert torch.equal(found, torch.from_numpy(image[None, None, 9:22, 14:27, 15:28]))


def test_patch_at_a_corner_then_mirrored():
    image = np.arange(3 * 20 * 20, dtype=np.float32).reshape(3, 20, 20)
    patch = ImagePatches(image, 12).at(np.array([[0, 0, 0]]))[0]
    assert torch.equal(patch[0], patch[1])  # the slice below the first is the first
    assert torch.equal(patch[1, 6:, 6:], torch.from_numpy(image[0, :6, :6]))
    assert torch.equal(patch[1, 5, 6:], patch[1, 6, 6:])


def test_moved_patches_then_within_reach_and_in_their_slice():
    image = np.broadcast_to(np.arange(100.0, dtype=np.float32), (3, 100, 100)).copy()
    patches, centres = ImagePatches(image, 13), np.tile([1, 50, 50], (200, 1))
    columns = patches.near(centres, 3, np.random.default_rng(0))[:, 1, 6, 6].numpy()
    assert set(columns) == set(range(47, 54))
    deep = ImagePatches(np.moveaxis(image, 2, 0).copy(), 3, 3)
    slices = deep.near(centres * [50, 1, 0] + [0, 0, 1], 3, np.random.default_rng(0))
    assert set(slices[:, 0, 1, 1, 1].numpy()) == set(range(47, 54))


def test_moved_patches_at_the_edge_then_inside_the_image():
    patches = ImagePatches(np.random.default_rng(0).random((3, 30, 30)).astype(np.float32), 12)
    corners = np.array([[0, 0, 0], [2, 29, 29]] * 20)
    assert patches.near(corners, 5, np.random.default_rng(0)).shape == (40, 3, 12, 12)
