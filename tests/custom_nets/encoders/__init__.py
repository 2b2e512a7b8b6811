from custom_nets.encoders import ENCODERS

KINDS = [name for name in ENCODERS if name not in ("resnet50", "resnet101")]
"""Encoders of different code: those left out are ResNet-38 with more units."""
