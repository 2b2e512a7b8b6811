"""Size and shape of a nodule: a smooth surface from its mask, and what is measured on it.

Definitions follow the Image Biomarker Standardisation Initiative (IBSI; Zwanenburg et al.,
Radiology 295:328, 2020); the four letters after a feature are its code there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import marching_cubes, mesh_surface_area

from scripts.volumes.geometry import Floats

EDGE_MM = 1.0  # of the isotropic grid
MARGIN_MM = 5.0  # of background around a nodule on the grid
SMOOTHING_MM = 0.8  # of the distance map: removes the steps of the voxels from the surface
LEAST_VOXELS = 4  # of the isotropic grid; smaller objects have no shape
LEVEL_STEPS = 14

SHAPE_FEATURES = {
    "volume_mm3": "volume inside the surface (RNU0); equals that of the mask's voxels",
    "surface_mm2": "area of the surface (C0JK)",
    "surface_to_volume_per_mm": "their ratio (2PR5)",
    "sphericity": "surface of the ball of equal volume, divided by the surface (QCFX)",
    "convex_share": "volume divided by that of the convex hull (R3ER)",
    "maximum_3d_diameter_mm": "greatest distance of two points of the surface (L0JK)",
    "maximum_axial_diameter_mm": "the same, for points in one axial slice",
    "major_axis_mm": "4 times the root of the largest variance of voxel positions (TDIC)",
    "minor_axis_mm": "of the second variance (P9VJ)",
    "least_axis_mm": "of the smallest variance (7J51)",
    "elongation": "minor divided by major axis (Q3CK)",
    "flatness": "least divided by major axis (N17B)",
}


@dataclass(frozen=True)
class Solid:
    """A nodule on an isotropic grid.

    Attributes:
        hu: (Z, Y, X), Hounsfield units.
        depth_mm: (Z, Y, X), distance from the surface, positive inside.
        vertices_mm: (V, 3), points (z, y, x) of the surface in mm from the grid's first voxel.
        triangles: (T, 3), indices of vertices.
    """

    hu: Floats
    depth_mm: Floats
    vertices_mm: Floats
    triangles: NDArray[np.integer]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(Z, Y, X), the voxels inside."""
        return np.asarray(self.depth_mm > 0)


def solid_of(hu: NDArray[np.number], mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> Solid:
    """Resample a nodule to voxels of 1 mm and find its surface.

    HU are interpolated linearly. The mask becomes a map of signed distances, which is interpolated
    (shape-based interpolation: Raya and Udupa, IEEE TMI 9:32, 1990) and slightly smoothed; the
    surface is the level that encloses the volume of the mask's voxels. A surface around the voxels
    themselves would be up to a fifth too large, depending on the distance of the slices.

    Args:
        hu: (Z, Y, X).
        mask: (Z, Y, X), the nodule's voxels.
        spacing_mm: of the voxels along (z, y, x).

    Raises:
        ValueError: for a mask of fewer than 4 mm³ or without a surface.
    """
    spacing = np.asarray(spacing_mm, np.float64)
    volume_mm3 = float(np.count_nonzero(mask) * spacing.prod())
    if volume_mm3 < LEAST_VOXELS * EDGE_MM**3:
        raise ValueError(f"mask: a nodule of {volume_mm3:.3g} mm³ is too small to be measured")
    hu, mask = _around(hu, mask, spacing)
    distance = ndimage.distance_transform_edt(mask, spacing)
    distance -= ndimage.distance_transform_edt(~mask, spacing)
    lengths = (np.array(mask.shape) - 1) * spacing
    steps = [
        np.arange(0, mm + 1e-6, EDGE_MM) / edge for mm, edge in zip(lengths, spacing, strict=True)
    ]
    grid = np.meshgrid(*steps, indexing="ij")
    depth = ndimage.map_coordinates(distance, grid, order=1, mode="nearest")
    depth = ndimage.gaussian_filter(depth, SMOOTHING_MM / EDGE_MM)
    depth -= _level_of_volume(depth, volume_mm3)
    vertices, triangles, _, _ = marching_cubes(depth, 0.0, spacing=(EDGE_MM,) * 3)
    resampled = ndimage.map_coordinates(hu.astype(np.float64), grid, order=1, mode="nearest")
    return Solid(resampled, depth, np.asarray(vertices, np.float64), triangles)


def _around(
    hu: NDArray[np.number], mask: NDArray[np.bool_], spacing_mm: Floats
) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Cut out a nodule with its margin; beyond the image, HU are those of its edge."""
    reach = np.ceil(MARGIN_MM / spacing_mm).astype(int) + 1
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    low = [part.start - r for part, r in zip(box, reach, strict=True)]
    high = [part.stop + r for part, r in zip(box, reach, strict=True)]
    inside = tuple(slice(max(a, 0), b) for a, b in zip(low, high, strict=True))
    beyond = [(max(-a, 0), max(b - n, 0)) for a, b, n in zip(low, high, mask.shape, strict=True)]
    return np.pad(hu[inside], beyond, mode="edge"), np.pad(mask[inside], beyond)


def _level_of_volume(depth: Floats, volume_mm3: float) -> float:
    """Find the level whose surface encloses a volume, by bisection."""
    low, high = -MARGIN_MM / 2, float(depth.max())
    for _ in range(LEVEL_STEPS):
        level = (low + high) / 2
        vertices, triangles, _, _ = marching_cubes(depth, level, spacing=(EDGE_MM,) * 3)
        if enclosed_volume(vertices, triangles) > volume_mm3:
            low = level
        else:
            high = level
    return (low + high) / 2


def enclosed_volume(vertices: Floats, triangles: NDArray[np.integer]) -> float:
    """Return the volume inside a closed surface of triangles, by the divergence theorem."""
    a, b, c = np.moveaxis(np.asarray(vertices, np.float64)[triangles], 1, 0)
    return abs(float(np.einsum("ij,ij->", a, np.cross(b, c)))) / 6


def shape_features(solid: Solid) -> dict[str, float]:
    """Measure a nodule's size and shape: :data:`SHAPE_FEATURES`."""
    vertices = solid.vertices_mm
    volume = enclosed_volume(vertices, solid.triangles)
    surface = float(mesh_surface_area(vertices, solid.triangles))
    axes = axis_lengths(np.argwhere(solid.mask).astype(np.float64) * EDGE_MM)
    hull = ConvexHull(vertices)
    heights = vertices[:, 0]
    slices = (vertices[np.isclose(heights, z)] for z in np.unique(np.round(heights)))
    values = (
        *(volume, surface, surface / volume),
        (36 * np.pi * volume**2) ** (1 / 3) / surface,
        volume / hull.volume,
        greatest_distance(vertices[hull.vertices]),
        max((greatest_distance(points[:, 1:]) for points in slices), default=0.0),
        *axes,
        *(axes[1] / axes[0], axes[2] / axes[0]),
    )
    return dict(zip(SHAPE_FEATURES, map(float, values), strict=True))


def axis_lengths(points_mm: Floats) -> Floats:
    """Return 4 times the roots of the variances along the principal axes, largest first."""
    centred = points_mm - points_mm.mean(axis=0)
    variances = np.linalg.eigvalsh(centred.T @ centred / (len(centred) - 1))[::-1]
    return np.asarray(4 * np.sqrt(np.maximum(variances, (EDGE_MM / 4) ** 2)))


def greatest_distance(points_mm: Floats) -> float:
    """Return the greatest distance of two of the points; 0 for fewer than two."""
    return float(pdist(points_mm).max()) if len(points_mm) > 1 else 0.0
