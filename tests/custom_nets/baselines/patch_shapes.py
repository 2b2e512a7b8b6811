"""Inputs that the classifiers of patches must refuse."""

NOT_PATCHES = [(1, 3, 64, 64), (1, 1, 65, 65), (1, 3, 65, 65, 65), (3, 65, 65)]
WRONG_NUMBERS = [{"widths": ()}, {"features": 0}, {"out_channels": 0}]
