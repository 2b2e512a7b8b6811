"""Volumes, diameters and positions of the segments."""
