"""Adaptation of a trained network to one patient, along a sequence of slices or scans."""
