from custom_nets.encoders import ENCODERS
from custom_nets.encoders.flexible_unet import BACKBONES

KINDS = (
    *("vgg16", "resnet34", "resnet38", "inception_v3", "densenet121", "googlenet"),
    *("efficientnet_b0", "mobilenet_v3_small", "convnext_tiny"),
)
"""Encoders of different code: the others have more or wider units of the same."""

assert set(KINDS) <= set(ENCODERS)
FLEXIBLE_KINDS = [name for name in KINDS if name in BACKBONES]
