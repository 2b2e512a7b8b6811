"""Synthetic cohorts in the layout of the real data sets."""
