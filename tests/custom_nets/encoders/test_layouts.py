from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from custom_nets.encoders import BLOCK_NAMES, ENCODERS, Encoder, make_encoder
from custom_nets.encoders.layouts import looks_like
from custom_nets.encoders.weights import load_encoder_weights
from tests.custom_nets.encoders import reference
from tests.custom_nets.encoders.encoder_contract import check_figures
from tests.custom_nets.undrawn import undrawn_weights


def unfilled(name: str) -> Encoder:
    """Return an encoder with the reference's padding, whose weights are not drawn."""
    options = {"same_padding": False} if name == "inception_v3" else {}
    with undrawn_weights():
        return ENCODERS[name](3, **options)


@functools.lru_cache(maxsize=1)  # layouts of one encoder follow each other
def filled(name: str) -> Encoder:
    """Return an encoder with the reference's weights and padding; not to be changed."""
    return reference.filled(lambda: unfilled(name))


def hollow(name: str) -> dict[str, Tensor]:
    """The tensors of an encoder in their shapes, each a single number in memory and on the disk."""
    shapes = {key: tensor.shape for key, tensor in unfilled(name).state_dict().items()}
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


def children(encoder: Any) -> dict[str, Tensor]:
    """As RadImageNet's files; DenseNet-121 and VGG-16 have one child, `features`."""
    return nn.Sequential(*encoder.children()).state_dict()


def with_auxiliary(encoder: Any) -> dict[str, Tensor]:
    parts = list(encoder.children())
    return nn.Sequential(*parts[:15], nn.Conv2d(1, 1, 1), *parts[15:]).state_dict()


# of the ResNets, one of each kind of unit; ResNet-38 has no reference
REFERENCED = ("vgg16", "resnet34", "inception_v3", "densenet121", "resnet50", "googlenet")
LAYOUTS: dict[str, tuple[str, Callable[[Any], dict[str, Tensor]]]] = {
    **{
        f"{name}, {layout}": (name, write)
        for name in REFERENCED
        for layout, write in (("torchvision", lambda e: e.state_dict()), ("children", children))
    },
    "inception_v3, with the auxiliary classifier": ("inception_v3", with_auxiliary),
    "vgg16, features": ("vgg16", lambda encoder: encoder.features.state_dict()),
    "densenet121, features": ("densenet121", lambda encoder: encoder.features.state_dict()),
    "densenet121, children of features": ("densenet121", lambda e: children(e.features)),
    "vgg11_bn, children": ("vgg11_bn", children),
    "efficientnet_b0, children": ("efficientnet_b0", children),
    "mobilenet_v3_small, features": (
        *("mobilenet_v3_small", lambda encoder: encoder.features.state_dict()),
    ),
    "convnext_tiny, children": ("convnext_tiny", children),
    "convnext_tiny, torchvision": ("convnext_tiny", lambda encoder: encoder.state_dict()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_file_in_each_layout_then_the_reference_features(layout, tmp_path, caplog):
    """As RadImageNet (`backbone.N...`) and RadiologyNET (`model_state`, `model.`) write them."""
    name, write = LAYOUTS[layout]
    tensors = {f"backbone.{key}": t for key, t in write(filled(name)).items()}
    tensors["fc.weight"] = torch.zeros(14, 512)
    path = tmp_path / "medical.pth"
    torch.save({"model_state": tensors, "epoch": 3}, path)
    encoder = unfilled(name).eval()
    with caplog.at_level(logging.INFO, logger="custom_nets.encoders.weights"):
        load_encoder_weights(encoder, str(path))
    figures = reference.figures(name)
    with torch.no_grad():
        maps = encoder(reference.image(figures.get("input_size", 64)))
    for block, feature in zip(BLOCK_NAMES, maps, strict=True):
        check_figures(feature, figures["blocks"][block])
    assert "without the prefix model_state.backbone." in caplog.text
    assert ("RadImageNet" in caplog.text) == ("children" in layout or "auxiliary" in layout)
    assert caplog.text.count("\n") == 1


def test_classifier_in_the_file_then_listed_as_unused(tmp_path, caplog):
    head = {f"model.classifier.{part}": torch.zeros(1) for part in "abcdef"}
    tensors = {f"model.{key}": t for key, t in hollow("resnet34").items()}
    torch.save({**tensors, **head}, tmp_path / "weights.pth")
    with caplog.at_level(logging.INFO, logger="custom_nets.encoders.weights"):
        make_encoder("resnet34", weights=str(tmp_path / "weights.pth"))
    assert "6 unused: classifier.a, classifier.b, classifier.c and 3 more" in caplog.text


def test_resnet50_of_radimagenet_then_refused_by_name_in_one_short_line(tmp_path):
    tensors = {"backbone.0.weight": torch.zeros(64, 3, 7, 7)}
    for stage, units in enumerate((3, 4, 6, 3), start=4):
        for unit in range(units):
            for conv in (1, 2, 3):
                tensors[f"backbone.{stage}.{unit}.conv{conv}.weight"] = torch.zeros(1, 1, 1, 1)
    torch.save(tensors, tmp_path / "ResNet50.pt")
    with (
        undrawn_weights(),
        pytest.raises(ValueError, match="looks like ResNet-50, got .* and 1.. more; use a") as e,
    ):
        make_encoder("resnet34", weights=str(tmp_path / "ResNet50.pt"))
    assert len(str(e.value)) < 500
    assert "\n" not in str(e.value)


TITLES = {
    **{"vgg16": "VGG-16", "inception_v3": "Inception-v3", "densenet121": "DenseNet-121"},
    **{"resnet34": "ResNet-34", "resnet38": "ResNet-38", "resnet50": "ResNet-50"},
    **{"resnet101": "ResNet-101", "googlenet": "GoogLeNet", "resnet18": "ResNet-18"},
    **{"vgg16_bn": "VGG-16 with batch norms", "vgg13": "VGG-13", "densenet169": "DenseNet-169"},
    **{"efficientnet_b0": "EfficientNet-B0", "efficientnet_b1": "EfficientNet-B1 or B2"},
    **{"mobilenet_v3_small": "MobileNetV3-Small", "mobilenet_v3_large": "MobileNetV3-Large"},
    **{"efficientnet_b3": "EfficientNet-B3", "convnext_tiny": "ConvNeXt-T"},
}
CONFUSED = [
    *itertools.permutations(REFERENCED[:4], 2),
    *(("googlenet", "inception_v3"), ("inception_v3", "googlenet"), ("resnet34", "resnet50")),
    *(("resnet50", "resnet38"), ("resnet38", "resnet50"), ("resnet50", "resnet101")),
    *(("vgg16", "vgg16_bn"), ("vgg16_bn", "vgg13"), ("densenet121", "densenet169")),
    *(("efficientnet_b1", "efficientnet_b0"), ("efficientnet_b0", "efficientnet_b1")),
    *(("mobilenet_v3_large", "mobilenet_v3_small"), ("resnet34", "mobilenet_v3_large")),
    *(("resnet34", "resnet18"), ("convnext_tiny", "efficientnet_b3")),
    *(("mobilenet_v3_small", "convnext_tiny"),),
]


@pytest.mark.parametrize(("own", "other"), CONFUSED)
def test_weights_of_another_encoder_then_refused_by_its_name(own, other, tmp_path):
    """A deeper network of a family holds every tensor of a shallower one, and more."""
    path = Path(tmp_path / "weights.pth")
    torch.save({f"module.{key}": t for key, t in hollow(other).items()}, path)
    with undrawn_weights(), pytest.raises(ValueError, match=f"looks like {TITLES[other]}, got"):
        make_encoder(own, weights=str(path))


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (["features.0.0.weight", "features.1.0.block.0.0.weight"], "another EfficientNet or Mob"),
        (["features.1.0.layer_scale"], "another ConvNeXt"),
        (["blocks.0.attn.qkv.weight"], "a vision transformer"),
        (["conv.weight"], "a network of unknown kind"),
    ],
)
def test_other_networks_then_named(names, title):
    assert looks_like({name: torch.zeros(1, 1, 1, 1) for name in names}).startswith(title)
    assert "3D" in looks_like({"conv1.weight": torch.zeros(1, 1, 3, 3, 3)})
