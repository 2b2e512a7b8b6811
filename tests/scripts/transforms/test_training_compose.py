"""Transforms without metadata: the same voxels, and metadata where they are read."""

import threading

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import CacheDataset, MetaTensor, get_track_meta
from monai.transforms import (
    Compose,
    Lambdad,
    Orientationd,
    RandAffined,
    RandCoarseDropoutd,
    RandFlipd,
    RandGaussianNoised,
    RandScaleIntensityd,
    SelectItemsd,
    Spacingd,
    SpatialPadd,
)

from scripts.transforms.crops import RandCropWithLabeld
from scripts.transforms.training_compose import TrainingCompose
from tests.bundles.config_files import ROOT

BOTH = ["image", "label"]
CONFIGS = sorted(ROOT.glob("bundles/*/configs/*train.json"))


def samples(count=4, side=40):
    generator = torch.Generator().manual_seed(5)
    affine = torch.diag(torch.tensor([-2.0, 3.0, 4.0, 1.0]))
    return [
        {
            "image": MetaTensor(torch.rand(3, side, side, generator=generator), affine=affine),
            "label": MetaTensor((torch.rand(1, side, side, generator=generator) > 0.9).float()),
            "case": {"slice": number},
        }
        for number in range(count)
    ]


def augmentation():
    return [
        SpatialPadd(BOTH, spatial_size=[48, 48], method="end", mode="edge"),
        RandCropWithLabeld(BOTH, "label", [24, 24]),
        RandFlipd(BOTH, prob=0.5, spatial_axis=1),
        RandAffined(BOTH, prob=0.7, rotate_range=0.3, scale_range=[0.2] * 2, mode="bilinear"),
        RandScaleIntensityd("image", prob=0.5, factors=0.1),
        RandCoarseDropoutd("image", prob=1.0, holes=3, spatial_size=[5, 5], fill_value=0.0),
        RandGaussianNoised("image", prob=0.5, std=0.1),
        SelectItemsd(BOTH),
    ]


def drawn(compose, dataset=lambda data, transform: [transform(one) for one in data]):
    compose.set_random_state(seed=3)
    data = dataset(samples(), compose)
    return [item for number in range(len(data)) for item in data[number]]


def test_training_compose_when_augmenting_then_same_voxels_as_plain_tensors():
    expected, items = drawn(Compose(augmentation())), drawn(TrainingCompose(augmentation()))
    assert len(items) == len(expected) == 4
    for item, other in zip(items, expected, strict=True):
        for key in BOTH:
            assert type(item[key]) is torch.Tensor
            assert isinstance(other[key], MetaTensor)
            assert torch.equal(item[key], other[key].as_tensor())
    assert get_track_meta()


def test_training_compose_when_cached_then_same_voxels_and_nothing_but_tensors_kept():
    def cached(data, transform):
        return CacheDataset(data, transform, progress=False)

    expected, compose = drawn(Compose(augmentation()), cached), TrainingCompose(augmentation())
    items = drawn(compose, cached)
    assert all(
        torch.equal(item[key], other[key].as_tensor())
        for item, other in zip(items, expected, strict=True)
        for key in BOTH
    )
    kept = cached(samples(), compose)._cache
    assert {type(one[key]) for one in kept for key in BOTH} == {torch.Tensor}
    assert [one["case"]["slice"] for one in kept] == [0, 1, 2, 3]


def test_training_compose_when_metadata_are_read_before_random_transforms_then_present():
    seen = []
    steps = [
        Orientationd("image", axcodes="LPS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        Lambdad("image", lambda image: seen.append(image.affine.clone()) or image),
    ]
    data = {"image": MetaTensor(torch.rand(1, 4, 5, 6), affine=torch.eye(4))}
    expected = Compose(steps)(dict(data))["image"]
    image = TrainingCompose([*steps, RandFlipd("image", prob=0.0)])(dict(data))["image"]
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(image, expected.as_tensor())


@pytest.mark.parametrize(
    "reading",
    [
        Spacingd("image", pixdim=(1.0, 1.0)),
        Lambdad("image", lambda image: image * image.pixdim[0]),
        RandFlipd("image", prob=1.0, spatial_axis=0, lazy=True),
    ],
    ids=["spacing", "own function", "lazy"],
)
def test_training_compose_when_a_later_transform_may_read_metadata_then_as_usual(reading):
    lazy = isinstance(reading, RandFlipd)
    steps = [RandFlipd("image", prob=1.0, spatial_axis=1), reading]
    expected = Compose(steps, lazy=lazy)(samples()[0])["image"]
    image = TrainingCompose(steps, lazy=lazy)(samples()[0])["image"]
    assert isinstance(image, MetaTensor)
    assert image.shape == expected.shape
    assert torch.equal(image, expected)


def test_training_compose_when_each_transform_may_be_lazy_then_as_usual():
    steps = [RandFlipd("image", prob=1.0, spatial_axis=axis, lazy=True) for axis in (0, 1)]
    expected = Compose(steps, lazy=None)(samples()[0])["image"]
    assert torch.equal(TrainingCompose(steps, lazy=None)(samples()[0])["image"], expected)


def test_training_compose_before_the_first_random_transform_then_metadata_stay_on(monkeypatch):
    module, switched = "scripts.transforms.training_compose", []
    monkeypatch.setattr(f"{module}.set_track_meta", switched.append)
    steps = [SelectItemsd("image"), RandFlipd("image", prob=1.0, spatial_axis=0)]
    item = TrainingCompose(steps)(samples()[0], end=1)  # as threads of a CacheDataset do
    assert type(item["image"]) is torch.Tensor
    assert switched == []


def test_training_compose_when_nothing_is_random_then_metadata_stay():
    assert isinstance(TrainingCompose([SelectItemsd("image")])(samples()[0])["image"], MetaTensor)


def test_training_compose_when_a_transform_fails_then_metadata_are_tracked_again():
    with pytest.raises(RuntimeError):
        TrainingCompose([RandFlipd("absent", prob=1.0)])(samples()[0])
    assert get_track_meta()


def test_training_compose_in_several_threads_then_metadata_are_tracked_again():
    compose = TrainingCompose(augmentation())
    data = samples()

    def work():
        for _ in range(20):
            for one in data:
                compose(one)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get_track_meta()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: "/".join(path.parts[-3::2]))
def test_shipped_training_then_its_augmentation_needs_no_metadata(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    parser = ConfigParser()
    parser.read_config(str(path))
    compose = parser.get_parsed_content("train::preprocessing")
    assert isinstance(compose, TrainingCompose)
    assert compose._first_random() is not None
