"""An analytic chest: HU as a function of position in LPS mm, sampled on any grid.

A reader is right if, and only if, the values that it returns are those of the function at the
positions that it returns. No two symmetries, shifts or orders of axes look alike: HU vary
with x, y and z everywhere in the body, and the nodule has six different half axes. The nodule's
volume and centre are known in closed form, and a threshold finds it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CENTRE = np.array([17.0, -143.0, 412.0])  # of the chest, LPS mm
AIR_HU, TISSUE_HU, LUNG_HU, TEXTURE_HU, HIGHEST_HU = -1000, 30, -850, 24, 350
BODY = (92.0, 68.0)  # half axes along x and y; the body has no end along z
LUNGS = (((-44, 0, 0), (36, 50, 60)), ((44, 6, -4), (36, 46, 54)))  # centre, half axes
# The nodule: eight octants of ellipsoids around one point, with a half axis for each direction
NODULE = CENTRE + np.array([42.0, 8.0, -10.0])
LEFT_BACK_HEAD = np.array([21.0, 20.0, 22.8])
RIGHT_FRONT_FEET = np.array([13.0, 12.0, 14.0])
THRESHOLD_HU = 149.5  # only the nodule lies above
SLOPE_HU = 2000  # HU across the nodule's surface, for one half axis: about 120 HU a mm
VOLUME_ML = float(np.pi / 6 * np.prod(LEFT_BACK_HEAD + RIGHT_FRONT_FEET) / 1000)  # 20.96
CENTROID = NODULE + 3 / 8 * (LEFT_BACK_HEAD - RIGHT_FRONT_FEET)  # LPS mm

# IMAGE ORIENTATIONS (row cosines, column cosines); the slices' normal is their cross product
TURN = np.deg2rad(8.0)
COS, SIN = float(np.cos(TURN)), float(np.sin(TURN))
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, -1, 0),
    "feet first": (-1, 0, 0, 0, 1, 0),
    "feet first prone": (1, 0, 0, 0, -1, 0),
    "decubitus": (0, 1, 0, -1, 0, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "oblique about x": (1, 0, 0, 0, COS, SIN),
    "oblique about y": (COS, 0, SIN, 0, 1, 0),
    "oblique about z": (COS, SIN, 0, -SIN, COS, 0),
    "oblique about x and z": (COS, SIN, 0, -SIN * COS, COS * COS, SIN),
}
EXTENT = np.array([196.0, 146.0, 128.0])  # of a grid along x, y, z in mm: the chest and some air


def hu_at(points: Array) -> NDArray[np.int16]:
    """HU at points.

    Args:
        points: (..., 3), LPS mm.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    wave = np.sin(x / 19 + 0.5) + np.sin(y / 23 + 1.1) + np.sin(z / 29 + 2)
    texture = TEXTURE_HU / 3 * wave
    away = points - CENTRE
    body = (away[..., 0] / BODY[0]) ** 2 + (away[..., 1] / BODY[1]) ** 2 <= 1
    hu = np.where(body, TISSUE_HU + texture, AIR_HU)
    for centre, radii in LUNGS:
        lung = (((away - centre) / np.array(radii)) ** 2).sum(axis=-1) <= 1
        hu = np.where(lung, LUNG_HU + texture, hu)
    nodule = THRESHOLD_HU + SLOPE_HU * (1 - from_nodule(points))
    return np.asarray(np.maximum(hu, np.minimum(nodule, HIGHEST_HU)).round(), np.int16)


def from_nodule(points: Array) -> Array:
    """Distance from the nodule's middle in half axes: 1 on its surface."""
    away = points - NODULE
    half = np.where(away > 0, LEFT_BACK_HEAD, RIGHT_FRONT_FEET)
    return np.sqrt(((away / half) ** 2).sum(axis=-1))


@dataclass(frozen=True)
class Grid:
    """Positions at which the chest is sampled.

    Attributes:
        shape: number of slices, rows and columns.
        affine: (4, 4), 0-based index (i = column, j = row, k = slice) to LPS mm.
    """

    shape: tuple[int, int, int]
    affine: Array

    def points(self) -> Array:
        """(slices, rows, columns, 3): positions of the voxels' centres in LPS mm."""
        k, j, i = np.indices(self.shape)
        index = np.stack([i, j, k], axis=-1)
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3], np.float64)

    def hu(self) -> NDArray[np.int16]:
        """(slices, rows, columns): HU of the chest."""
        return hu_at(self.points())

    def hu_near(self, points: Array) -> NDArray[np.int16]:
        """(...): HU of the voxels nearest to points (..., 3) in LPS mm.

        To compare positions that a file holds with a few digits only, in any order of axes.
        """
        index = (points - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T
        i, j, k = np.moveaxis(np.rint(index).astype(int), -1, 0)
        return np.asarray(self.hu()[k, j, i])

    def nodule(self) -> NDArray[np.bool_]:
        """(slices, rows, columns): the right mask."""
        return np.asarray(hu_at(self.points()) > THRESHOLD_HU)

    @property
    def spacing(self) -> Array:
        """Distance between columns, rows and slices in mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0), np.float64)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, of a sheared grid too."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000)

    def reversed(self) -> Grid:
        """Number the slices from the other end."""
        affine = self.affine.copy()
        affine[:3, 3] += (self.shape[0] - 1) * affine[:3, 2]
        affine[:3, 2] *= -1
        return Grid(self.shape, affine)


def grid_of(
    orientation: str = "axial",
    *,
    spacing: tuple[float, float, float] = (3.1, 3.3, 3.7),
    descending: bool = False,
) -> Grid:
    """A grid around the whole chest, neither square nor isotropic unless asked for.

    Args:
        orientation: a key of :data:`ORIENTATIONS`.
        spacing: between columns, rows and slices, mm.
        descending: the first slice is the last along the normal.
    """
    row, column = np.array(ORIENTATIONS[orientation], float).reshape(2, 3)
    normal = np.cross(row, column)
    axes = np.stack([row, column, -normal if descending else normal], axis=1)
    extent = np.array([EXTENT[np.abs(axis).argmax()] for axis in axes.T])
    counts = np.ceil(extent / spacing).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((counts - 1) / 2)
    columns, rows, slices = counts.tolist()
    return Grid((slices, rows, columns), affine)
