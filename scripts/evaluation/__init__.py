"""Evaluation of segmentations: metrics, reports and pictures."""
