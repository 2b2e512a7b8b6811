"""Colours of the pictures: classes, outlines and the dark page."""

from scripts.datasets.segment_colours import COLOURS

__all__ = ["BACKGROUND", "COLOURS", "MANUAL_COLOUR", "OURS_COLOUR", "QUIET", "TEXT"]

MANUAL_COLOUR, OURS_COLOUR = COLOURS[:2]
BACKGROUND, TEXT, QUIET = "#101214", "#F2F2F2", "#A8B0B8"
