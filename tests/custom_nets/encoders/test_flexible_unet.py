from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from monai.networks.nets import FlexibleUNet
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE

from custom_nets.encoders import ENCODERS
from custom_nets.encoders.flexible_unet import PREFIX, TransferBackbone, register
from custom_nets.encoders.weights import load_encoder_weights
from tests.custom_nets.encoders import FLEXIBLE_KINDS, reference
from tests.custom_nets.undrawn import undrawn_weights

BACKBONES = [PREFIX + name for name in FLEXIBLE_KINDS]


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_flexible_unet_on_each_encoder_learns(backbone: str, in_channels: int) -> None:
    with undrawn_weights():
        network = FlexibleUNet(in_channels=in_channels, out_channels=2, backbone=backbone)
    logits = network(torch.rand(2, in_channels, 64, 32))
    assert logits.shape == (2, 2, 64, 32)
    logits.mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert not without


@pytest.mark.parametrize("backbone", BACKBONES)
def test_maps_have_the_channels_and_strides_that_were_registered(backbone: str) -> None:
    entry = FLEXUNET_BACKBONE.register_dict[backbone]
    with undrawn_weights():
        encoder = entry["type"](**entry["parameter"]).eval()
    with torch.no_grad():
        maps = encoder(torch.rand(1, entry["parameter"]["in_channels"], 64, 64))
    assert [m.shape[1] for m in maps] == list(entry["feature_channel"])
    assert [64 // m.shape[-1] for m in maps] == [2, 4, 8, 16, 32]


def test_vgg_then_gives_block2_to_block5_and_the_maximum_of_each_2x2_window_of_block5() -> None:
    backbone = TransferBackbone("vgg16").eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps, blocks = backbone(image), backbone.encoder(image)
    assert all(torch.equal(one, other) for one, other in zip(maps[:4], blocks[1:], strict=True))
    assert torch.equal(maps[4], blocks[-1].reshape(1, 512, 2, 2, 2, 2).amax(dim=(3, 5)))


def test_encoder_without_a_map_at_half_resolution_is_no_backbone() -> None:
    assert PREFIX + "convnext_tiny" not in FLEXUNET_BACKBONE.register_dict
    assert len(TransferBackbone.get_encoder_names()) == len(ENCODERS) - 1
    with pytest.raises(ValueError, match="invalid model_name transfer_convnext_tiny"):
        FlexibleUNet(1, 1, "transfer_convnext_tiny")


def test_building_one_changes_no_other_backbone() -> None:
    others = {
        name: copy.deepcopy(entry["parameter"])
        for name, entry in FLEXUNET_BACKBONE.register_dict.items()
        if name != BACKBONES[0]
    }
    FlexibleUNet(in_channels=1, out_channels=1, backbone=BACKBONES[0])
    now = FLEXUNET_BACKBONE.register_dict
    assert {name: now[name]["parameter"] for name in others} == others


def test_registering_again_changes_no_name_and_leaves_monai_s_own() -> None:
    before = list(FLEXUNET_BACKBONE.register_dict)
    register()
    assert list(FLEXUNET_BACKBONE.register_dict) == before
    assert FLEXUNET_BACKBONE.register_dict["resnet34"]["type"] is not TransferBackbone


def test_pretrained_asks_for_the_published_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "custom_nets.encoders.load_encoder_weights",
        lambda encoder, weights: asked.append((encoder.name, weights)),
    )
    for pretrained in (True, False):
        FlexibleUNet(1, 1, "transfer_resnet34", pretrained=pretrained)
    assert asked == [("resnet34", "imagenet"), ("resnet34", "none")]


def test_a_file_of_weights_fills_the_encoder_inside(tmp_path: Path) -> None:
    source = reference.filled(lambda: ENCODERS["resnet34"](3))
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    network = FlexibleUNet(in_channels=3, out_channels=1, backbone="transfer_resnet34")
    load_encoder_weights(network.encoder.encoder, str(tmp_path / "weights.pth"))
    found = network.encoder.encoder.state_dict()
    assert all(torch.equal(found[k], v) for k, v in source.state_dict().items())


def test_volumes_are_refused() -> None:
    with pytest.raises(ValueError, match="spatial_dims must be 2 for transfer_vgg16; got 3"):
        FlexibleUNet(1, 1, "transfer_vgg16", spatial_dims=3)
