"""Layouts of published encoder weights, and the kind of network that a file looks like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

RESNET = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
INCEPTION = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
    *("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d"),
    *("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
)
INCEPTION_END = ("Mixed_7a", "Mixed_7b", "Mixed_7c")
GOOGLENET = (
    *("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3"),
    *("inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4"),
    *("inception5a", "inception5b"),
)
DENSENET = (
    *("conv0", "norm0", "relu0", "pool0", "denseblock1", "transition1"),
    *("denseblock2", "transition2", "denseblock3", "transition3", "denseblock4", "norm5"),
)


@dataclass(frozen=True)
class Layout:
    """Names that a file gives to the parts of one of torchvision's networks.

    Attributes:
        title: for messages; empty for torchvision's own names.
        renamed: start of torchvision's name -> start in the file; empty if it is left out.
    """

    title: str
    renamed: Mapping[str, str]

    def name_in_file(self, name: str) -> str:
        """Translate torchvision's name of a tensor.

        >>> Layout("", {"layer1": "4"}).name_in_file("layer1.0.bn1.bias")
        '4.0.bn1.bias'
        """
        for own, other in self.renamed.items():
            if name.startswith(f"{own}."):
                rest = name.removeprefix(f"{own}.")
                return f"{other}.{rest}" if other else rest
        return name


def _numbered(*names: str, before: str = "") -> dict[str, str]:
    return {f"{before}{name}": str(index) for index, name in enumerate(names)}


PLAIN = Layout("", {})
CHILDREN = "an nn.Sequential over torchvision's children, as in RadImageNet's files"
FEATURES = Layout("torchvision's `features` alone", {"features": ""})

SEQUENCE = (Layout(CHILDREN, {"features": "0"}), FEATURES)
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "vgg": SEQUENCE,
    "resnet": (Layout(CHILDREN, _numbered(*RESNET)),),
    "densenet": (*SEQUENCE, Layout(CHILDREN, _numbered(*DENSENET, before="features."))),
    "efficientnet": SEQUENCE,
    "mobilenet": SEQUENCE,
    "convnext": SEQUENCE,
    "googlenet": (Layout(CHILDREN, _numbered(*GOOGLENET)),),
    "inception": (
        Layout(CHILDREN, _numbered(*INCEPTION, *INCEPTION_END)),
        Layout(CHILDREN, _numbered(*INCEPTION, "AuxLogits", *INCEPTION_END)),
    ),
}
"""Layouts by the first word of an encoder's name, besides torchvision's own."""


def layouts_of(encoder: str) -> tuple[Layout, ...]:
    """List the known layouts of an encoder's weights, torchvision's own first.

    >>> [layout.title for layout in layouts_of("vgg16_bn")][2]
    "torchvision's `features` alone"
    """
    family = re.match("[a-z]*", encoder)
    return (PLAIN, *LAYOUTS.get(family[0] if family else "", ()))


RESNETS: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "ResNet-18",
    ((3, 4, 6, 3), False): "ResNet-34",
    ((3, 3, 3, 3), True): "ResNet-38",
    ((3, 4, 6, 3), True): "ResNet-50",
    ((3, 4, 23, 3), True): "ResNet-101",
    ((3, 8, 36, 3), True): "ResNet-152",
}
DENSENETS: dict[tuple[int, ...], str] = {
    (6, 12, 24, 16): "DenseNet-121",
    (6, 12, 32, 32): "DenseNet-169",
    (6, 12, 48, 32): "DenseNet-201",
    (6, 12, 36, 24): "DenseNet-161",
}
VGGS = {8: "VGG-11", 10: "VGG-13", 13: "VGG-16", 16: "VGG-19"}
INVERTED: dict[tuple[int, int], str] = {
    (16, 32): "EfficientNet-B0",
    (23, 32): "EfficientNet-B1 or B2",
    (26, 40): "EfficientNet-B3",
    (32, 48): "EfficientNet-B4",
    (11, 16): "MobileNetV3-Small",
    (15, 16): "MobileNetV3-Large",
}
"""By units and maps of the stem."""

CONVNEXTS = {18: "ConvNeXt-T", 36: "ConvNeXt-S, -B or -L"}
OTHERS = {
    r"\.attn\.|self_attn|cls_token|encoder_layer_\d|attention\.": "a vision transformer",
    r"dwconv|layer_scale": "another ConvNeXt",
    r"_expand_conv|_conv_stem|conv_pw|\d+\.block\.\d": "another EfficientNet or MobileNet",
    r"Conv2d_1a_3x3\.|branch7x7dbl": "Inception-v3",
    r"branch2\.0\.conv\.": "GoogLeNet",
}


def looks_like(tensors: Mapping[str, Tensor]) -> str:
    """Name the kind of network whose tensors a file holds, in a few words.

    >>> import torch
    >>> looks_like({"blocks.0.attn.qkv.weight": torch.zeros(3, 1)})
    'a vision transformer'
    """
    if any(tensor.ndim == 5 for tensor in tensors.values()):
        return "a network with 3D convolutions"
    names = "\n".join(tensors)
    layers = _resnet(names) or _densenet(names) or _inverted(tensors) or _vgg(tensors)
    others = (title for sign, title in OTHERS.items() if re.search(sign, names))
    return layers or next(others, "a network of unknown kind")


def _resnet(names: str) -> str:
    """Recognise a ResNet by the units of its stages, numbered 4 to 7 among the children."""
    units = set(re.findall(r"(?:^|\.)(?:layer([1-4])|([4-7]))\.(\d+)\.conv1\.weight", names, re.M))
    stages = [int(number or int(child) - 3) for number, child, _ in units]
    counts = tuple(stages.count(stage) for stage in (1, 2, 3, 4))
    bottleneck = ".conv3." in names
    known = RESNETS.get((counts, bottleneck), "")
    return known or ("another ResNet" if all(counts) else "")


def _densenet(names: str) -> str:
    """Recognise a DenseNet by the layers of its blocks."""
    layers = set(re.findall(r"denseblock([1-4])\.denselayer(\d+)\.", names))
    blocks = [int(block) for block, _ in layers]
    counts = tuple(blocks.count(block) for block in (1, 2, 3, 4))
    return DENSENETS.get(counts, "another DenseNet" if all(counts) else "")


def _inverted(tensors: Mapping[str, Tensor]) -> str:
    """Recognise torchvision's EfficientNet, MobileNetV3 or ConvNeXt by its units."""
    names = "\n".join(tensors)
    scaled = len(re.findall(r"\.\d+\.\d+\.layer_scale$", names, re.M))
    units = len(set(re.findall(r"^(.*\d)\.block\.\d+\.", names, re.M)))
    stems = (t for name, t in tensors.items() if re.search(r"(?:^|\.)0\.0\.weight$", name))
    stem = len(next(stems, ()))
    return CONVNEXTS.get(scaled, "") or INVERTED.get((units, stem), "")


def _vgg(tensors: Mapping[str, Tensor]) -> str:
    """Recognise a VGG by the number of its 3x3 convolutions, numbered in one sequence."""
    numbered = re.compile(r"(?:^|.*\.)\d+\.weight")
    kernels = [t for name, t in tensors.items() if t.ndim == 4 and numbered.fullmatch(name)]
    square = all(tuple(kernel.shape[2:]) == (3, 3) for kernel in kernels)
    with_norms = any(name.endswith("running_mean") for name in tensors)
    title = VGGS.get(len(kernels), "") if square else ""
    return f"{title} with batch norms" if title and with_norms else title
