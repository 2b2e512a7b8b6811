from __future__ import annotations

import pytest

from custom_nets.encoders import ENCODERS, make_encoder
from custom_nets.encoders.published import NAMED, PUBLISHED
from custom_nets.encoders.weights import split_hash


def digests(word: str) -> dict[str, str]:
    """The stated hash of each encoder's file."""
    return {name: split_hash(url)[1] for name, url in NAMED[word].items()}


def test_every_encoder_but_resnet38_has_a_published_file_with_a_hash_in_its_name() -> None:
    assert set(PUBLISHED) == set(ENCODERS) - {"resnet38"}
    assert digests("imagenet") == {
        **{"vgg11": "8a719046", "vgg11_bn": "6002323d", "vgg13": "19584684"},
        **{"vgg13_bn": "abd245e5", "vgg16": "397923af", "vgg16_bn": "6c64b313"},
        **{"vgg19": "dcbb9e9d", "vgg19_bn": "c79401a0"},
        **{"resnet18": "f37072fd", "resnet34": "b627a593", "resnet50": "0676ba61"},
        **{"resnet101": "63fe2227", "resnet152": "394f9c45"},
        **{"densenet121": "a639ec97", "densenet169": "b2777c0a", "densenet201": "c1103571"},
        **{"efficientnet_b0": "7f5810bc", "efficientnet_b1": "bac287d4"},
        **{"efficientnet_b2": "c35c1473", "efficientnet_b3": "b3899882"},
        **{"mobilenet_v3_small": "047dcff4", "mobilenet_v3_large": "8738ca79"},
        **{"convnext_tiny": "983f1562", "googlenet": "1378be20", "inception_v3": "0cc3c7bd"},
    }


def test_second_weights_are_those_of_the_encoders_that_have_them() -> None:
    assert digests("imagenet_v2") == {
        **{"resnet50": "11ad3fa6", "resnet101": "cd907fc2", "resnet152": "f82ba261"},
        **{"efficientnet_b1": "c27df63c", "mobilenet_v3_large": "5c1a4163"},
    }
    with pytest.raises(ValueError, match="'imagenet_v2' are published for 'resnet18', only for"):
        make_encoder("resnet18", weights="imagenet_v2")


def test_coco_weights_are_those_of_torchvisions_files() -> None:
    assert digests("coco") == {"resnet50": "1167a1af", "resnet101": "7ecb50ca"}
    deeplab = {"resnet50": "cd0a2569", "resnet101": "586e9e4e", "mobilenet_v3_large": "fc3c493d"}
    assert digests("coco_deeplab") == deeplab


def test_coco_weights_of_an_encoder_without_them_are_refused_with_those_that_have_them() -> None:
    with pytest.raises(ValueError, match="'coco' are published for 'vgg16', only for resnet50, r"):
        make_encoder("vgg16", weights="coco")


@pytest.mark.parametrize("name", ["tiny", "resnet38"])
def test_an_encoder_without_a_published_file_says_so(name: str, tiny: str) -> None:
    with pytest.raises(ValueError, match=f"no weights 'imagenet' are published for '{name}', only"):
        make_encoder(name, weights="imagenet")
