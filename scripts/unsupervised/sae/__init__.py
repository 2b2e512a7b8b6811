"""Stacked auto-encoders of patches, and labels of voxels by their features."""
