"""Volumes, diameters and positions of what was segmented."""
