"""Published weight files of the encoders, by the word that ``weights`` takes: imagenet, coco ..."""

from __future__ import annotations

import re

FILES = "https://download.pytorch.org/models/"
"""Where torchvision's weight files lie; a file's name ends in the start of its sha256."""

LICENCE = "BSD-3-Clause"
"""Of torchvision and the weights that it publishes; the images have their own terms."""

OTHER_LICENCES = {"imagenet_features": "CC-BY-4.0"}
"""Words of `NAMED` whose files torchvision passes on under the terms of their authors."""

FILE = re.compile(r"(?:fcn_|deeplabv3_)?(.+?)(?:_google|_rwightman|_coco)?-[0-9a-f]{8}\.pth")
"""Name of such a file: the network around the encoder, the encoder, and the origin."""


def _by_encoder(*files: str) -> dict[str, str]:
    """Map the encoder that each file is named after to the address of the file."""
    return {FILE.sub(r"\1", file): FILES + file for file in files}


PUBLISHED = _by_encoder(
    "vgg11-8a719046.pth",
    "vgg11_bn-6002323d.pth",
    "vgg13-19584684.pth",
    "vgg13_bn-abd245e5.pth",
    "vgg16-397923af.pth",
    "vgg16_bn-6c64b313.pth",
    "vgg19-dcbb9e9d.pth",
    "vgg19_bn-c79401a0.pth",
    "resnet18-f37072fd.pth",
    "resnet34-b627a593.pth",
    "resnet50-0676ba61.pth",
    "resnet101-63fe2227.pth",
    "resnet152-394f9c45.pth",
    "densenet121-a639ec97.pth",
    "densenet169-b2777c0a.pth",
    "densenet201-c1103571.pth",
    "efficientnet_b0_rwightman-7f5810bc.pth",
    "efficientnet_b1_rwightman-bac287d4.pth",
    "efficientnet_b2_rwightman-c35c1473.pth",
    "efficientnet_b3_rwightman-b3899882.pth",
    "mobilenet_v3_small-047dcff4.pth",
    "mobilenet_v3_large-8738ca79.pth",
    "convnext_tiny-983f1562.pth",
    "googlenet-1378be20.pth",
    "inception_v3_google-0cc3c7bd.pth",
)
"""Weights of ImageNet-1k by encoder: torchvision's first of each network (``IMAGENET1K_V1``)."""

PUBLISHED_V2 = _by_encoder(
    "resnet50-11ad3fa6.pth",
    "resnet101-cd907fc2.pth",
    "resnet152-f82ba261.pth",
    "efficientnet_b1-c27df63c.pth",
    "mobilenet_v3_large-5c1a4163.pth",
)
"""Torchvision's second weights of ImageNet-1k, from a longer training (``IMAGENET1K_V2``)."""

FEATURES_ONLY = {"vgg16": FILES + "vgg16_features-amdegroot-88682ab5.pth"}
"""The convolutions of the authors of VGG16 (``IMAGENET1K_FEATURES``), without a classifier.

They expect grey levels of 0 to 255 and are converted: `custom_nets.encoders.vgg.from_grey_levels`.
"""

COCO = _by_encoder(
    "fcn_resnet50_coco-1167a1af.pth",
    "fcn_resnet101_coco-7ecb50ca.pth",
)
"""Torchvision's FCNs, trained to segment the photographs of COCO into PASCAL VOC's 21 classes."""

COCO_DEEPLAB = _by_encoder(
    "deeplabv3_resnet50_coco-cd0a2569.pth",
    "deeplabv3_resnet101_coco-586e9e4e.pth",
    "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
)
"""The same of torchvision's DeepLab-v3 networks.

All of them have their deepest stages dilated (``output_stride`` 8 or 16); the weights fit other
strides too.
"""

NAMED: dict[str, dict[str, str]] = {
    "imagenet": PUBLISHED,
    "imagenet_v2": PUBLISHED_V2,
    "imagenet_features": FEATURES_ONLY,
    "coco": COCO,
    "coco_deeplab": COCO_DEEPLAB,
}
"""Published files by the word that asks for them; of each file only the encoder is taken."""


def published_url(encoder_name: str, weights: str) -> str:
    """Return the address of an encoder's weights of a word of `NAMED`.

    >>> published_url("resnet50", "coco")
    'https://download.pytorch.org/models/fcn_resnet50_coco-1167a1af.pth'

    Raises:
        ValueError: none are known.
    """
    urls = NAMED[weights]
    if encoder_name not in urls:
        raise ValueError(
            f"no weights {weights!r} are published for {encoder_name!r}, only for "
            f"{', '.join(urls)}; set weights to a file, a URL or 'none'"
        )
    return urls[encoder_name]
