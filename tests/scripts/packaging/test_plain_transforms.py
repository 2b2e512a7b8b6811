"""MONAI's transforms in place of this project's: equal values, and no silent omission."""

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.inferers import SliceInferer, SlidingWindowInferer
from monai.transforms import Compose

from scripts.packaging.plain_transforms import NotPlainError, Plain, plain_inferer
from scripts.training.inferers import SlicewiseInferer
from scripts.transforms.intensity import WindowHU
from scripts.transforms.most_probable import most_probable
from scripts.transforms.neighbours import stack_neighbours


def built(component, **config):
    """The plain form of a transform, as MONAI builds it."""
    plain = Plain({"imports": ["$import torch"], **config, "one": component})
    parser = ConfigParser({"imports": ["$import torch"], "made": plain.transforms("@one")})
    parser.parse()
    return Compose(parser.get_parsed_content("made")), plain


@pytest.mark.parametrize("outside", ["zero", "clip"])
def test_window_then_equal_in_every_bit_at_its_bounds_too(outside):
    target = "scripts.transforms.intensity.WindowHUd"
    transform, _ = built(
        {"_target_": target, "keys": "image", "window_hu": "@window_hu", "outside": "@outside"},
        window_hu=[-1000, 400],
        outside=outside,
    )
    values = torch.cat([torch.arange(-3024.0, 3072.0, 0.25), torch.tensor([400.00003, -1000.0001])])
    image = MetaTensor(values.reshape(1, -1, 1, 2))
    found = transform({"image": image})["image"]
    expected = WindowHU((-1000, 400), outside=outside)(image)
    assert torch.equal(found.as_tensor(), expected.as_tensor())
    assert found.max() == 1


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_neighbours_then_equal(depth):
    target = "scripts.transforms.neighbours.StackNeighboursd"
    transform, _ = built({"_target_": target, "keys": "image"})
    volume = torch.rand(1, 3, 4, depth)
    assert torch.equal(transform({"image": volume})["image"], stack_neighbours(volume))


def test_neighbours_when_the_network_has_one_channel_then_none():
    target = "scripts.transforms.neighbours.StackNeighboursd"
    disabled = {"_target_": target, "keys": "image", "_disabled_": "$@in_channels != 3"}
    assert Plain({"in_channels": 1, "one": disabled}).transforms("@one") == []


def test_most_probable_class_then_equal_with_the_first_of_equal_ones():
    target = "scripts.transforms.most_probable.MostProbableClassd"
    transform, _ = built({"_target_": target, "keys": "pred"})
    scores = torch.tensor([[0.2, 0.5, 0.1], [0.7, 0.5, 0.3], [0.1, 0.0, 0.6]]).reshape(3, 3, 1, 1)
    found = transform({"pred": scores})["pred"]
    assert torch.equal(found, most_probable(scores).float())


def test_reader_and_keys_that_are_not_made_then_gone():
    reader = "scripts.volumes.readers.CTReader"
    load = {"_target_": "LoadImaged", "keys": "image", "reader": reader, "image_only": True}
    turn = {"_target_": "Orientationd", "keys": ["image", "lung"], "axcodes": "PLS"}
    plain = Plain({"one": {"_target_": "Compose", "transforms": [load, turn]}})
    assert plain.transforms("@one") == [
        {"_target_": "LoadImaged", "keys": "image", "image_only": True},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "PLS"},
    ]
    assert plain.left_out == {}


def test_lung_field_and_masking_then_each_named_as_left_out():
    field = {"_target_": "scripts.transforms.lung_field.LungFieldd", "keys": "image"}
    mask = {"_target_": "MaskIntensityd", "keys": "image", "mask_key": "lung"}
    plain = Plain({"one": field, "two": mask, "three": {**mask, "keys": "pred"}})
    assert plain.transforms("@one") == plain.transforms("@three") == []
    assert list(plain.left_out) == ["lung_field"]
    assert plain.transforms("@two") == []
    assert list(plain.left_out) == ["lung_field", "lung_masking"]
    assert plain.left_out["lung_masking"].startswith("lung masking: the network was trained on")


@pytest.mark.parametrize(
    ("component", "why"),
    [
        ({"_target_": "scripts.transforms.random_walk.RandomWalkd", "keys": "pred"}, "RandomWalkd"),
        ({"_target_": "mine.Thing", "keys": "image"}, "mine.Thing has no equal among MONAI's"),
        ({"keys": "image"}, "is no component"),
        (
            {
                "_target_": "scripts.transforms.neighbours.StackNeighboursd",
                "keys": "image",
                "each_side": 2,
            },
            "more than one neighbour",
        ),
    ],
    ids=["ours", "unknown", "no component", "more neighbours"],
)
def test_component_without_an_equal_then_refused(component, why):
    with pytest.raises(NotPlainError, match=why):
        Plain({"one": component}).transforms("@one")


def test_inferer_slice_by_slice_then_equal_logits():
    own = "scripts.training.inferers"
    slices = {"_target_": f"{own}.SlicewiseInferer", "slices_at_once": "@at_once"}
    config = {"at_once": 2, "inferer": {"_target_": f"{own}.AutocastInferer", "inferer": slices}}
    made = plain_inferer(Plain(config))
    inferer = ConfigParser({"inferer": made}).get_parsed_content("inferer")
    assert isinstance(inferer, SliceInferer)
    network = torch.nn.Conv2d(3, 2, 3, padding=1)
    volume = torch.rand(1, 3, 11, 9, 5)
    with torch.no_grad():
        expected = SlicewiseInferer(slices_at_once=2)(volume, network)
        torch.testing.assert_close(inferer(volume, network), expected, atol=1e-6, rtol=0)


def test_sliding_window_then_kept_with_its_numbers_and_another_inferer_refused():
    window = {"_target_": "SlidingWindowInferer", "roi_size": "@patch", "overlap": 0.25}
    made = plain_inferer(Plain({"patch": [8, 8, 8], "inferer": window}))
    assert made == {"_target_": "SlidingWindowInferer", "roi_size": [8, 8, 8], "overlap": 0.25}
    assert isinstance(ConfigParser({"x": made}).get_parsed_content("x"), SlidingWindowInferer)
    other = {"_target_": "scripts.training.inferers.CentreVoxelInferer"}
    with pytest.raises(NotPlainError, match="CentreVoxelInferer has no equal"):
        plain_inferer(Plain({"inferer": other}))
