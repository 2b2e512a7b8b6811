"""A decoder that computes near what is not 0 only: the logits of the whole network there."""

import pytest
import torch
from torch import Tensor, nn

from custom_nets.fcn import TransferFCN
from custom_nets.narrowing import NarrowedUNet, can_be_narrowed, occupied_range
from custom_nets.unet import TransferUNet

SLIM = (16, 8, 8, 8, 8)
UNETS = {
    "resnet34": {"encoder": "resnet34", "decoder_channels": SLIM},
    "skip at full resolution": {"encoder": "vgg11", "decoder_channels": SLIM, "skip_norm": "auto"},
    "two steps without skip": {"encoder": "convnext_tiny", "decoder_channels": SLIM},
    "half resolution": {
        "encoder": "resnet18",
        "decoder_channels": SLIM[:4],
        "decoder_stride": 2,
        "out_channels": 2,
    },
}
BOXES = {
    "inside": (30, 61, 37, 90),
    "at the upper left": (0, 5, 0, 3),
    "at the lower right": (120, 131, 97, 99),
    "everywhere": (0, 131, 0, 99),
}


def made(**arguments) -> TransferUNet:
    """A random network whose norms have statistics, as a trained one's."""
    torch.manual_seed(0)
    network = TransferUNet(**arguments)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 64, 64))
    return network.eval()


def image_of(top: int, bottom: int, left: int, right: int) -> Tensor:
    image = torch.zeros(2, 3, 131, 99)
    inside = torch.rand(2, 3, bottom - top, right - left)
    image[..., top:bottom, left:right] = 0.1 + 0.9 * inside
    return image


@pytest.mark.parametrize("kind", UNETS)
def test_box_then_the_logits_of_the_whole_network_around_it_and_constant_elsewhere(kind):
    network = made(**UNETS[kind])
    narrowed = NarrowedUNet(network, rim=8, outside=-20.0)
    for name, (top, bottom, left, right) in BOXES.items():
        image = image_of(top, bottom, left, right)
        with torch.no_grad():
            expected, found = network(image), narrowed(image)
        rows, columns = slice(max(top - 8, 0), bottom + 8), slice(max(left - 8, 0), right + 8)
        inside = torch.zeros(expected.shape, dtype=torch.bool)
        inside[..., rows, columns] = True
        scale = float(expected.abs().max())
        torch.testing.assert_close(found[inside], expected[inside], atol=1e-5 * scale, rtol=0)
        assert bool((found[~inside] == -20).all()), name
        assert float(expected[inside].std()) > 1e-3 * scale


def test_large_image_with_a_small_box_then_the_last_step_computes_little():
    network = made(**UNETS["resnet34"])
    sizes: list[tuple[int, ...]] = []
    network.decoder.steps[-1].register_forward_hook(lambda *call: sizes.append(call[-1].shape))
    image = torch.zeros(1, 3, 256, 256)
    image[..., 128:144, 64:96] = 1
    with torch.no_grad():
        NarrowedUNet(network, rim=8, outside=-20.0)(image)
    height, width = sizes[0][-2:]
    assert 32 + 4 <= height <= 32 + 8  # the box, the rim, and what two convolutions see
    assert 48 + 4 <= width <= 48 + 8


def test_several_images_and_channels_then_the_range_of_all():
    image = torch.zeros(2, 2, 8, 9)
    image[0, 0, 2, 4] = -1
    image[1, 1, 5, 3] = 1
    assert occupied_range(image, -2, 1).tolist() == [1, 7]
    assert occupied_range(image, -1, 1).tolist() == [2, 6]


def test_other_region_then_another_description_by_which_conversions_are_kept():
    with torch.device("meta"):
        network = TransferUNet("resnet18")
    described = {repr(NarrowedUNet(network, rim=rim, outside=-20.0)) for rim in (8, 9)}
    assert len(described) == 2


@pytest.mark.parametrize(
    ("make", "can"),
    [
        (lambda: TransferUNet("resnet18"), True),
        (lambda: TransferUNet("resnet18", norm="none"), True),
        (lambda: TransferUNet("resnet18", norm="group"), False),
        (lambda: TransferUNet("resnet18", norm="instance"), False),
        (lambda: TransferFCN("resnet18"), False),
    ],
)
def test_network_then_narrowed_only_if_its_decoder_looks_at_near_voxels(make, can):
    with torch.device("meta"):
        assert can_be_narrowed(make()) is can
