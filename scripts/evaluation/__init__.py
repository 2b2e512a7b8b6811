"""Segmentation metrics, each named exactly."""
