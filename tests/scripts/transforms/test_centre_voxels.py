import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor

from scripts.training.inferers import OUTSIDE_LOGIT, CentreVoxelInferer
from scripts.transforms.centre_voxels import (
    NoduleRegiond,
    RandCentrePatchesd,
    cut_patches,
    mark_boxes,
)

SPACING = (0.5, 1.0, 2.0)


def disc(shape=(60, 50), radius=8):
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    centre = np.array(shape) // 2
    return (np.linalg.norm(grid - centre, axis=-1) <= radius).astype(np.uint8)


def sample(label, channels=3, seed=0):
    """An item as the transforms before leave it; the image tells place and channel apart."""
    affine = np.diag([*SPACING[: label.ndim], *[1.0] * (3 - label.ndim), 1.0])
    random = torch.Generator().manual_seed(seed)
    image = torch.rand(channels, *label.shape, generator=random)
    truth = MetaTensor(torch.from_numpy(label)[None], affine=affine)
    binary = MetaTensor((torch.from_numpy(label) > 0)[None].float(), affine=affine)
    image = MetaTensor(image, affine=affine)
    return {"image": image, "label": binary, "instances": truth, "case": 7}


def test_patches_of_a_stack_then_hold_each_centre_in_the_middle_and_0_beyond_the_border():
    image = torch.rand(3, 9, 11) + 1
    centres = torch.tensor([[4, 5], [0, 10]])
    first, corner = cut_patches(image, centres, size=5)
    assert torch.equal(first, image[:, 2:7, 3:8])
    assert torch.equal(corner[:, 2:, :3], image[:, :3, 8:])
    assert not corner[:, :2].any()
    assert not corner[:, :, 3:].any()


def test_patches_of_slices_of_a_volume_then_as_of_each_slice():
    volume = torch.rand(3, 9, 11, 4)
    found = cut_patches(volume, torch.tensor([[4, 5, 2]]), size=5)
    assert torch.equal(found, cut_patches(volume[..., 2], torch.tensor([[4, 5]]), size=5))


def test_planes_then_axial_coronal_sagittal_through_the_voxel():
    volume = torch.rand(1, 9, 11, 13)
    axial, coronal, sagittal = cut_patches(
        volume, torch.tensor([[4, 5, 6]]), size=5, views="planes"
    )[0]
    assert torch.equal(axial, volume[0, 2:7, 3:8, 6])
    assert torch.equal(coronal, volume[0, 4, 3:8, 4:9])
    assert torch.equal(sagittal, volume[0, 2:7, 5, 4:9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 4}, "size: must be odd"),
        ({"views": "cube"}, "views: must be one of stack, planes, got 'cube'"),
        ({"views": "planes"}, r"from a volume \(1, H, W, D\), got \(3, 9, 9\)"),
    ],
)
def test_patches_when_asked_for_what_cannot_be_then_refused(change, message):
    with pytest.raises(ValueError, match=message):
        cut_patches(torch.rand(3, 9, 9), torch.zeros(1, 2, dtype=int), **{"size": 5, **change})


def test_region_then_a_box_in_mm_around_each_nodule_and_nothing_elsewhere():
    label = np.zeros((40, 40), np.uint8)
    label[10:14, 10:12] = 1
    label[30, 35] = 2
    item = NoduleRegiond("image", margin_mm=2.0)(sample(label))
    assert item["image"].shape == (4, 40, 40)
    assert torch.equal(item["image"].affine, sample(label)["image"].affine)
    expected = torch.zeros(40, 40)
    expected[6:18, 8:14] = 1  # 4 pixels of 0.5 mm, 2 of 1 mm
    expected[26:35, 33:38] = 1
    assert torch.equal(item["image"][-1].as_tensor(), expected)


def test_region_when_no_nodule_then_empty():
    assert not mark_boxes(np.zeros((5, 5)), np.ones(2), 3.0).any()


def drawn(label, **options):
    item = NoduleRegiond("image")(sample(label))
    transform = RandCentrePatchesd(size=5, **options)
    transform.set_random_state(3)
    return transform(item)


def test_samples_then_half_of_them_in_the_nodule_and_labelled_by_their_middle():
    label = disc()
    patches = drawn(label, num_samples=40)
    image = sample(label)["image"].as_tensor()
    assert len(patches) == 40
    for patch in patches:
        assert patch["image"].shape == (3, 5, 5)
        assert patch["label"].shape == (1, 1, 1)
        (h,), (w,) = np.where((image[0] == patch["image"][0, 2, 2]).numpy())
        assert patch["label"].item() == label[h, w]
        assert patch["case"] == 7
    assert sum(patch["label"].item() for patch in patches) == 20


def edge_distances(label, patches):
    """Distance in mm from each patch's middle to the edge of the disc's radius."""
    image = sample(label)["image"].as_tensor()[0]
    values = [patch["image"][0, 2, 2] for patch in patches]
    places = np.array([np.argwhere((image == value).numpy())[0] for value in values])
    other = [np.argwhere(label != label[tuple(place)]) for place in places]
    pairs = zip(other, places, strict=True)
    return [np.linalg.norm((o - p) * SPACING[:2], axis=1).min() for o, p in pairs]


def test_samples_then_nearer_to_the_edge_the_shorter_the_reach():
    label = disc(radius=12)
    near = np.mean(edge_distances(label, drawn(label, num_samples=150, far_weight=0.01)))
    even = np.mean(edge_distances(label, drawn(label, num_samples=150, far_weight=1.0)))
    far = drawn(label, num_samples=150, far_weight=0.01, reach_mm=20.0)
    assert near < 0.7 * even
    assert near < 0.8 * np.mean(edge_distances(label, far))


def test_samples_when_no_nodule_then_background_from_anywhere():
    patches = drawn(np.zeros((20, 20), np.uint8), num_samples=10)
    assert [patch["label"].item() for patch in patches] == [0] * 10
    assert len({patch["image"][0, 2, 2].item() for patch in patches}) > 5


def test_samples_of_a_volume_then_planes_that_collate():
    label = disc((30, 30, 12), radius=5)
    item = NoduleRegiond("image")(sample(label, channels=1))
    transform = RandCentrePatchesd(size=5, num_samples=6, views="planes")
    (batch,) = DataLoader(Dataset([item], transform), batch_size=1)
    assert batch["image"].shape == (6, 3, 5, 5)
    assert batch["label"].flatten().sum() == 3


def test_samples_with_one_seed_then_the_same_and_with_another_not():
    item = NoduleRegiond("image")(sample(disc()))
    found = []
    for seed in (1, 1, 2):
        transform = RandCentrePatchesd(size=5)
        transform.set_random_state(seed)
        found.append(torch.stack([patch["image"] for patch in transform(item)]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_samples": 0}, "num_samples: must be at least 1"),
        ({"reach_mm": 0}, "reach_mm: must be above 0"),
        ({"far_weight": 0}, "far_weight above 0"),
        ({"keys": "image"}, "keys: must name the image and the label"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_samples_when_numbers_make_no_sense_then_refused(change, message):
    with pytest.raises(ValueError, match=message):
        RandCentrePatchesd(**change)


def test_region_when_margin_or_geometry_is_missing_then_refused():
    with pytest.raises(ValueError, match="margin_mm: must be above 0, got 0"):
        NoduleRegiond("image", margin_mm=0)
    item = {"image": torch.zeros(1, 4, 4), "instances": torch.zeros(1, 4, 4)}
    with pytest.raises(ValueError, match="must have its affine"):
        NoduleRegiond("image")(item)


def middles(patches):
    """A network that answers with the sum of the middle pixels: then all can be worked out."""
    return patches[:, :, 2, 2].sum(dim=1).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_inferer_on_images_then_the_networks_answer_in_the_region_and_background_elsewhere(at_once):
    images = torch.rand(2, 4, 12, 10)
    images[:, -1] = 0
    images[0, -1, 3:6, 0:4] = 1  # reaches the border
    found = CentreVoxelInferer(size=5, voxels_at_once=at_once)(images, middles)
    expected = torch.full((2, 1, 12, 10), OUTSIDE_LOGIT)
    expected[0, 0, 3:6, 0:4] = images[0, :3].sum(dim=0)[3:6, 0:4]
    torch.testing.assert_close(found, expected)


def test_inferer_on_a_volume_then_planes_meet_in_the_voxel():
    volume = torch.rand(1, 2, 8, 9, 7)
    volume[:, -1] = 0
    volume[0, -1, 2:5, 3:6, 1:3] = 1
    found = CentreVoxelInferer(size=5, views="planes")(volume, middles)
    expected = torch.full((1, 1, 8, 9, 7), OUTSIDE_LOGIT)
    expected[0, 0, 2:5, 3:6, 1:3] = 3 * volume[0, 0, 2:5, 3:6, 1:3]
    torch.testing.assert_close(found, expected)


def test_inferer_on_patches_then_the_network_alone():
    patches = torch.rand(4, 3, 5, 5)
    assert torch.equal(CentreVoxelInferer(size=5)(patches, middles), middles(patches))


def test_inferer_on_an_image_without_region_then_refused():
    with pytest.raises(ValueError, match="the last channel must mark a region by 0 and 1"):
        CentreVoxelInferer()(torch.rand(1, 3, 64, 64), middles)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"voxels_at_once": 0}, "must be at least 1"), ({"views": "cube"}, "one of stack, planes")],
)
def test_inferer_when_numbers_make_no_sense_then_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CentreVoxelInferer(**change)
