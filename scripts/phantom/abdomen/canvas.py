"""The voxels that an abdomen is drawn on: HU, and the structure of each voxel."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.abdomen.patient import FIELDS, Patient
from scripts.phantom.mediastinum import Tube
from scripts.phantom.outlines import ANGLES, at_heights
from scripts.phantom.parenchyma import sample_field
from scripts.phantom.solids import Array, Grid, Window, blend, edge_width, tube_share

# structures of the label map, one bit each; sub-structures of the liver keep the liver's bit
STRUCTURES = (
    *("skin", "bone", "liver", "spleen", "left_kidney", "right_kidney", "stomach"),
    *("gallbladder", "artery", "vein", "portal_vein", "lungs"),
)
BITS = {name: 1 << i for i, name in enumerate(STRUCTURES)}


class Canvas:
    """Draws a few slices of one patient into given arrays.

    Args:
        patient: the patient's anatomy.
        grid: voxel grid of the slices.
        arrays: HU, structures and lesions (Z, Y, X), filled in place.
    """

    def __init__(
        self,
        patient: Patient,
        grid: Grid,
        arrays: tuple[Array, NDArray[np.uint16], NDArray[np.uint8]],
    ) -> None:
        self.patient, self.grid, self.hu = patient, grid, patient.body.hu
        self.volume, self.labels, self.numbers = arrays
        self.width = np.float32(edge_width(grid))
        self.radius = np.hypot(grid.x[None, :], grid.y[:, None])
        turn = np.arctan2(grid.y[:, None], grid.x[None, :]) * np.float32(ANGLES / (2 * np.pi))
        self.bin = np.rint(turn).astype(np.int32) % ANGLES
        self.wall = self.depth(patient.torso.cavity)
        self.fields = {
            name: sample_field(patient.fields[name], grid, step)
            for name, (step, _) in FIELDS.items()
        }
        self.all: Window = (slice(None), slice(None), slice(None))

    def depth(self, table: NDArray[np.floating]) -> Array:
        """Distance in mm (Z, Y, X) outwards from a polar table of radii."""
        return np.asarray(self.radius - self.lookup(table))

    def lookup(self, table: NDArray[np.floating]) -> Array:
        """A polar table at every voxel (Z, Y, X)."""
        return np.asarray(at_heights(table, self.grid.z)[:, self.bin])

    def put(self, window: Window, share: Array, value: float | Array, name: str = "") -> None:
        """Draw a share of a structure; a named structure replaces others in the label map."""
        blend(self.volume[window], value, share)
        if not name:
            return
        where, part = share > 0.5, self.labels[window]
        kept = BITS["skin"]
        if name in ("vein", "portal_vein", "artery"):
            kept |= BITS["liver"]
        np.bitwise_and(part, kept, out=part, where=where)
        np.bitwise_or(part, BITS[name], out=part, where=where)

    def paint_tube(self, tube: Tube) -> None:
        """Draw a muscle, the pancreas or a vessel."""
        value = self.hu(tube.tissue)
        name = {"cava": "vein"}.get(tube.tissue, tube.tissue)
        name = name if name in BITS else ""
        for start, end in pairwise(tube.points):
            ends = np.stack([start, end])
            window, share = tube_share(self.grid, ends, np.full(2, tube.radius_mm))
            if share.size:
                self.put(window, share, value, name)
