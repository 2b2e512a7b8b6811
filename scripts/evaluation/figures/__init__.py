"""Figures of segmentations: overlap, surfaces, detection, single nodules, classes, intervals."""
