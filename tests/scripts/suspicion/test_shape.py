"""Shape of balls and ellipsoids against their formulas, and of IBSI's phantom."""

import numpy as np
import pytest
from scipy.special import ellipeinc, ellipkinc
from skimage.measure import marching_cubes, mesh_surface_area

from scripts.suspicion.shape import (
    SHAPE_FEATURES,
    axis_lengths,
    enclosed_volume,
    greatest_distance,
    shape_features,
    solid_of,
)
from tests.scripts.suspicion.phantom_of_ibsi import EDGE_MM, MASK


def ellipsoid(radii, spacing, centre=(0.13, 0.21, -0.17)):
    counts = [int(np.ceil(r / s)) + 2 for r, s in zip(radii, spacing, strict=True)]
    axes = [np.arange(-n, n + 1) * s for n, s in zip(counts, spacing, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij")
    return sum(((x - c) / r) ** 2 for x, c, r in zip(grid, centre, radii, strict=True)) <= 1


def area_of(radii):
    """Surface of an ellipsoid by elliptic integrals."""
    c, b, a = sorted(radii)
    if a == c:
        return 4 * np.pi * a**2
    phi = np.arccos(c / a)
    k = a**2 * (b**2 - c**2) / (b**2 * (a**2 - c**2))
    sine, cosine = np.sin(phi), np.cos(phi)
    tail = ellipeinc(phi, k) * sine**2 + ellipkinc(phi, k) * cosine**2
    return 2 * np.pi * c**2 + 2 * np.pi * a * b / sine * tail


def measured(radii, spacing):
    mask = ellipsoid(radii, spacing)
    return shape_features(solid_of(np.where(mask, 40, -800), mask, spacing))


@pytest.mark.parametrize(
    ("radii", "spacing"),
    [
        ((8, 8, 8), (1.0, 0.7, 0.7)),
        ((10, 10, 10), (1.5, 0.7, 0.7)),
        ((6, 8, 12), (1.0, 0.8, 0.8)),
        ((9, 7, 6), (1.25, 0.6, 0.6)),
    ],
)
def test_ellipsoid_then_every_feature_within_two_percent(radii, spacing):
    found = measured(radii, spacing)
    assert list(found) == list(SHAPE_FEATURES)
    volume, surface = 4 / 3 * np.pi * np.prod(radii), area_of(radii)
    c, b, a = sorted(radii)
    axes = 4 / np.sqrt(5) * np.array([a, b, c])
    expected = {
        "volume_mm3": volume,
        "surface_mm2": surface,
        "surface_to_volume_per_mm": surface / volume,
        "sphericity": (36 * np.pi * volume**2) ** (1 / 3) / surface,
        "convex_share": 1,
        "maximum_3d_diameter_mm": 2 * a,
        "maximum_axial_diameter_mm": 2 * max(radii[1:]),
        "major_axis_mm": axes[0],
        "minor_axis_mm": axes[1],
        "least_axis_mm": axes[2],
        "elongation": b / a,
        "flatness": c / a,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.02), name


def test_volume_then_that_of_the_voxels_whatever_the_slices():
    mask = ellipsoid((5, 5, 5), (2.5, 0.7, 0.7))
    found = shape_features(solid_of(np.zeros(mask.shape), mask, (2.5, 0.7, 0.7)))
    assert found["volume_mm3"] == pytest.approx(mask.sum() * 2.5 * 0.49, rel=1e-3)


def test_dented_ball_then_less_convex_and_less_spherical():
    mask = ellipsoid((9, 9, 9), (1, 1, 1))
    dented = mask.copy()
    dented[:, : mask.shape[1] // 2, mask.shape[2] // 2 - 2 : mask.shape[2] // 2 + 3] = False
    whole, cut = (shape_features(solid_of(np.zeros(m.shape), m, (1, 1, 1))) for m in (mask, dented))
    assert cut["convex_share"] < 0.9 < whole["convex_share"]
    assert cut["sphericity"] < 0.9 * whole["sphericity"]


def test_solid_when_at_the_edge_of_the_image_then_measured_like_inside():
    mask = np.pad(ellipsoid((6, 6, 6), (1, 1, 1)), 10)
    hu = np.where(mask, 40, -800)
    box = tuple(slice(np.flatnonzero(mask.any(axis=a)).min(), None) for a in ((1, 2), (0, 2)))
    inside, edge = (
        shape_features(solid_of(h, m, (1, 1, 1))) for h, m in ((hu, mask), (hu[box], mask[box]))
    )
    assert edge == pytest.approx(inside)


def test_solid_when_tiny_then_refused():
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = True
    with pytest.raises(ValueError, match="1 mm³ is too small to be measured"):
        solid_of(np.zeros(mask.shape), mask, (1, 1, 1))


def test_definitions_then_those_of_ibsi():
    surface = marching_cubes(np.pad(MASK, 1).astype(float), 0.5, spacing=(EDGE_MM,) * 3)
    vertices, triangles = surface[:2]
    assert enclosed_volume(vertices, triangles) == pytest.approx(556, abs=0.5)
    assert mesh_surface_area(vertices, triangles) == pytest.approx(388, abs=0.5)
    assert greatest_distance(vertices) == pytest.approx(13.1, abs=0.05)
    lengths = axis_lengths(np.argwhere(MASK) * EDGE_MM)
    assert lengths == pytest.approx([11.4, 9.31, 8.54], abs=0.05)
