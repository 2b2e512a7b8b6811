"""Segmentation by clusters of features that are learned from the image itself."""
