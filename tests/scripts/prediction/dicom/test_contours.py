"""Polygons whose filling gives the mask, however a reader fills them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import polygon2mask

from scripts.prediction.dicom.contours import closed_contours


def crossings(polygon, shape):
    """How often each voxel's ray to the right crosses a polygon: upwards, and downwards."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    up, down = np.zeros(shape, int), np.zeros(shape, int)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        spans = (rows >= min(y1, y2)) & (rows < max(y1, y2))
        right = spans & (columns < x1 + (rows - y1) / (y2 - y1) * (x2 - x1))
        (up if y2 > y1 else down)[right] += 1
    return up, down


def even_odd(polygon, shape):
    up, down = crossings(polygon, shape)
    return (up + down) % 2 == 1


def winding(polygon, shape):
    up, down = crossings(polygon, shape)
    return up != down


FILLS = {
    "union, even-odd": lambda ps, s: np.logical_or.reduce([even_odd(p, s) for p in ps]),
    "union, winding": lambda ps, s: np.logical_or.reduce([winding(p, s) for p in ps]),
    "xor": lambda ps, s: np.logical_xor.reduce([even_odd(p, s) for p in ps]),
    "scikit-image": lambda ps, s: np.logical_or.reduce([polygon2mask(s, p[:, ::-1]) for p in ps]),
}


def disk(shape, centre, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def shapes():
    space = (40, 50)
    ring = disk(space, (20, 20), 12) & ~disk(space, (18, 23), 5)
    target = ring | disk(space, (18, 23), 2)
    sieve = np.ones(space, bool)
    sieve[3:37:4, 4:46:5] = False
    touching = np.zeros(space, bool)
    touching[5:9, 5:9] = touching[9:13, 9:13] = True
    corner_hole = np.ones((6, 6), bool)
    corner_hole[2, 2] = corner_hole[3, 3] = False
    line = np.zeros(space, bool)
    line[10, 5:30] = line[10:35, 30] = True
    single = np.zeros(space, bool)
    single[39, 49] = True
    yield "disk", disk(space, (20, 20), 12)
    yield "ring", ring
    yield "island in a hole", target
    yield "two components", disk(space, (12, 10), 6) | disk(space, (25, 38), 9)
    yield "many holes in a row", sieve
    yield "touching at a corner", touching
    yield "holes touching at a corner", corner_hole
    yield "one voxel wide", line
    yield "one voxel in the last corner", single
    yield "the whole slice", np.ones(space, bool)
    chaos = np.random.default_rng(3).random(space)
    yield "noise", chaos > 0.4
    yield "smooth noise", ndimage.gaussian_filter(chaos, 1.5) > 0.5


SHAPES = dict(shapes())


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("name", SHAPES)
def test_polygons_filled_then_exactly_the_mask(name, fill):
    mask = SHAPES[name]
    np.testing.assert_array_equal(FILLS[fill](closed_contours(mask), mask.shape), mask)


@pytest.mark.parametrize("name", SHAPES)
def test_polygons_then_one_for_each_component(name):
    assert len(closed_contours(SHAPES[name])) == ndimage.label(SHAPES[name])[1]


def test_ring_then_one_polygon_that_runs_its_channel_twice():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    (polygon,) = closed_contours(mask)
    points = [tuple(point) for point in polygon.tolist()]
    twice = {point for point in points if points.count(point) == 2}
    assert twice == {(2.5, 2.0), (4.5, 2.0)}


def test_straight_edges_then_no_vertices_inside_them():
    (polygon,) = closed_contours(np.ones((30, 40), bool))
    assert len(polygon) == 8  # a rectangle whose corners are cut


def test_nothing_then_no_polygon():
    assert closed_contours(np.zeros((4, 5), bool)) == []
