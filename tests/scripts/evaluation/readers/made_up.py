"""Readers' nodules as squares on a few slices, for tests of the figures about labels."""

from __future__ import annotations

import numpy as np

from scripts.datasets.luna16.nodule_groups import group_nodules
from scripts.datasets.luna16.outlines import Outline, Outlines, ReaderNodule
from tests.scripts.datasets.luna16.test_outlines import square

SHAPE = (12, 64, 64)
SPACING = (0.5, 0.5, 2.0)
FIRST_Z = -100.0
AFFINE = np.array([[0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 2.0, FIRST_Z], [0, 0, 0, 1.0]])


def nodule(name, x, y, slices, half=5, **ratings):
    """A square of 2 half - 1 pixels on some slices."""
    levels = [FIRST_Z + 2.0 * k for k in slices]
    lines = tuple(Outline(z, True, np.array(square(x, y, half))) for z in levels)
    return ReaderNodule(name, lines, ratings)


def outlines(*readers):
    return Outlines("1.1", [list(reader) for reader in readers])


def groups(*readers):
    return group_nodules(outlines(*readers), SHAPE, AFFINE)
