"""Segmentation networks with ImageNet classifiers as encoders; weights, freezing, folding."""
