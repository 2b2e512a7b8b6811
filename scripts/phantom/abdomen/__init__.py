"""Synthetic abdominal CTs with organs, in the layout of 3D-IRCADb-01."""
