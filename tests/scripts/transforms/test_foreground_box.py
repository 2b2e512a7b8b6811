"""Cleaning within the foreground's box gives what cleaning the whole volume gives."""

from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    FillHolesd,
    KeepLargestConnectedComponentd,
    RemoveSmallObjectsd,
    SpatialPadd,
)

from scripts.transforms.foreground_box import InForegroundBoxd, foreground_box

CLEANERS: dict[str, Any] = {
    "small objects": RemoveSmallObjectsd("pred", min_size=6, connectivity=3),
    "small objects, in mm3": RemoveSmallObjectsd("pred", min_size=6, by_measure=True),
    "holes": FillHolesd("pred", connectivity=1),
    "holes, diagonal": FillHolesd("pred"),
    "largest": KeepLargestConnectedComponentd("pred", applied_labels=[1]),
    "holes, then largest": Compose(
        [FillHolesd("pred"), KeepLargestConnectedComponentd("pred", applied_labels=[1])]
    ),
}


def blobs(seed: int, *, at_the_edge: bool) -> MetaTensor:
    """Draw pieces with holes, of many sizes, in voxels of 1 x 2 x 0.5 mm."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 1, 14, 12, 10, generator=generator)
    mask = torch.zeros(1, 24, 20, 16)
    smooth = torch.nn.functional.avg_pool3d(noise, 3, stride=1, padding=1)
    part = (((smooth > 0.42) | (noise > 0.97)) & (noise > 0.05))[0]  # with specks and pin holes
    if at_the_edge:
        mask[:, :14, -12:, :10] = part
    else:
        mask[:, 3:17, 5:17, 4:14] = part
    return MetaTensor(mask, affine=torch.diag(torch.tensor([1.0, 2.0, 0.5, 1.0])))


@pytest.mark.parametrize("name", CLEANERS)
@pytest.mark.parametrize("at_the_edge", [False, True])
def test_cleaned_as_the_whole_volume(name: str, at_the_edge: bool) -> None:
    changed = 0
    for seed in range(6):
        mask = blobs(seed, at_the_edge=at_the_edge)
        whole = CLEANERS[name]({"pred": mask.clone()})["pred"]
        boxed = InForegroundBoxd("pred", CLEANERS[name])({"pred": mask})["pred"]
        assert torch.equal(boxed.as_tensor(), whole.as_tensor())
        changed += not torch.equal(boxed.as_tensor(), mask.as_tensor())
    assert changed > 1  # else nothing was compared


@pytest.mark.parametrize("name", ["holes of one label", "largest of one label"])
def test_cleaned_in_the_box_of_one_label_as_in_the_whole_volume(name: str) -> None:
    clean: Any = {
        "holes of one label": FillHolesd("pred", applied_labels=[2]),
        "largest of one label": KeepLargestConnectedComponentd("pred", applied_labels=[2]),
    }[name]
    changed = 0
    for seed in range(6):
        several = blobs(seed, at_the_edge=True).as_tensor()
        for rows in (slice(5, 9), slice(11, 18)):  # label 2 in two pieces, beside label 1
            several[:, rows, 3:15, 2:12] *= 2
        mask = MetaTensor(several)
        whole = clean({"pred": mask.clone()})["pred"]
        boxed = InForegroundBoxd("pred", clean, labels=[2])({"pred": mask})["pred"]
        assert torch.equal(boxed.as_tensor(), whole.as_tensor())
        changed += not torch.equal(boxed.as_tensor(), several)
    assert changed > 1


def test_no_label_then_nothing_is_cleaned() -> None:
    mask = blobs(0, at_the_edge=False)
    boxed = InForegroundBoxd("pred", CLEANERS["largest"], labels=[])({"pred": mask})["pred"]
    assert boxed is mask


def test_affine_history_and_input_are_kept() -> None:
    mask = blobs(0, at_the_edge=False)
    mask.applied_operations = [{"class": "Flipd"}]
    before = mask.as_tensor().clone()
    boxed = InForegroundBoxd("pred", CLEANERS["largest"])({"pred": mask, "other": 1})
    assert torch.equal(boxed["pred"].affine, mask.affine)
    assert boxed["pred"].applied_operations == [{"class": "Flipd"}]
    assert torch.equal(mask.as_tensor(), before)
    assert boxed["other"] == 1


def test_an_empty_mask_is_left_alone() -> None:
    empty = torch.zeros(1, 4, 5, 6)
    assert foreground_box(empty) is None
    assert InForegroundBoxd("pred", CLEANERS["holes"])({"pred": empty})["pred"] is empty


def test_the_box_of_all_channels() -> None:
    mask = torch.zeros(2, 6, 7)
    mask[0, 2, 3] = mask[1, 4, 1] = 1
    assert foreground_box(mask) == (slice(None), slice(2, 5), slice(1, 4))
    mask[0, 0, 0] = 7
    assert foreground_box(mask, [1]) == (slice(None), slice(2, 5), slice(1, 4))
    assert foreground_box(mask, [3]) is None


def test_a_transform_that_changes_shapes_is_refused() -> None:
    pad = SpatialPadd("pred", spatial_size=(30, 30, 30))
    with pytest.raises(ValueError, match="must keep the shape"):
        InForegroundBoxd("pred", pad)({"pred": blobs(0, at_the_edge=False)})
