"""A chest without disease, in HU: tissue by tissue, then the lungs and what branches in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.branching import Tree, tree_share
from scripts.phantom.mediastinum import paint_airways, paint_mediastinum
from scripts.phantom.outlines import ANGLES, DEPTHS, LEFT, RIGHT, armpit_table, at_heights
from scripts.phantom.parenchyma import TextureLookup
from scripts.phantom.patient import Patient
from scripts.phantom.scanner import draw_couch
from scripts.phantom.skeleton import (
    blade_depth,
    paint_front,
    paint_ribs,
    paint_spine,
    scapula_table,
)
from scripts.phantom.solids import Array, Ellipsoid, Grid, blend, blend_sparse, coverage

TRACHEA_LABEL, RIGHT_LABEL, LEFT_LABEL = 5, 4, 3  # as in seg-lungs-LUNA16


class ChestPainter:
    """Draws one patient's chest on a grid, slice by slice.

    Args:
        patient: whose chest.
        grid: the voxels.
    """

    def __init__(self, patient: Patient, grid: Grid) -> None:
        self.patient, self.grid = patient, grid
        self.build, self.outlines = patient.build, patient.outlines
        x, y = grid.x[None, :], grid.y[:, None]
        self.radius = np.hypot(x, y)
        turn = np.arctan2(y, x) * np.float32(ANGLES / (2 * np.pi))
        self.bin = np.rint(turn).astype(np.int32) % ANGLES
        tables: dict[str, NDArray[np.floating]] = {
            "skin": self.outlines.skin,
            "muscle": self.outlines.muscle,
            "cage": self.outlines.cage,
            "planes": self.outlines.planes,
            "rib": patient.ribs[0],
            "bone": patient.ribs[1],
            "scapula": scapula_table(self.outlines),
            "blade": blade_depth(self.outlines),
            "armpit": armpit_table(self.outlines),
        }
        self.tables = {name: at_heights(table, grid.z) for name, table in tables.items()}
        self.sides = {side: self._side_tables(side) for side in (LEFT, RIGHT)}
        self.belly = belly_organs(patient)
        self.empty_couch = draw_couch(grid, 124.0 * self.build.scale[1] + self.build.fat_mm)
        sx, sy, _ = self.build.scale
        right = np.clip(0.5 - x / 50.0, 0, 1).astype(np.float32)  # the domes meet in the middle
        self.floor, self.floor_width = (
            right * self.sides[RIGHT][name] + (1 - right) * self.sides[LEFT][name]
            for name in ("floor", "floor_width")
        )
        edge = 34.0 * sx - 0.55 * (y + 40.0) + 6.0 * np.sin(y / 13.0) - x
        self.liver = np.clip(edge / 2.0, 0, 1).astype(np.float32)
        spine = np.hypot(x / (38.0 * sx), (y - 56.0 * sy) / (34.0 * sy)) - 1.0
        self.before_spine = np.clip(spine * 12.0, 0, 1).astype(np.float32)

    def _side_tables(self, side: int) -> dict[str, Array]:
        x, y = np.meshgrid(self.grid.x.astype(float), self.grid.y.astype(float))
        inner = at_heights(self.outlines.inner[side], self.grid.z)
        column = (self.grid.y - DEPTHS[0]) / 2.0
        low = np.clip(np.floor(column).astype(int), 0, len(DEPTHS) - 2)
        part = np.clip(column - low, 0, 1).astype(np.float32)
        inner = inner[:, low] * (1 - part) + inner[:, low + 1] * part
        floor, ceiling = self.outlines.floor(x, y, side), self.outlines.ceiling(x, y, side)
        slope = np.gradient(inner, axis=0) ** 2 + np.gradient(inner, axis=1) ** 2
        return {
            "inner": inner,
            "inner_width": self.grid.spacing_mm[0] + np.sqrt(slope).astype(np.float32),
            "floor": floor.astype(np.float32),
            "floor_width": self._rise(floor),
            "ceiling": ceiling.astype(np.float32),
            "ceiling_width": self._rise(ceiling),
        }

    def _rise(self, surface: NDArray[np.float64]) -> Array:
        """How much a height surface and a slice's thickness spread over one voxel, in mm."""
        along_y, along_x = np.gradient(surface)
        width = np.hypot(along_y, along_x) + self.grid.spacing_mm[2]
        return np.asarray(width, dtype=np.float32)

    def lookup(self, name: str, row: int) -> Array:
        """A polar table at one slice, as an image (Y, X)."""
        return np.asarray(self.tables[name][row][self.bin])

    def paint(self) -> tuple[Array, Array]:
        """HU (Z, Y, X) without noise and the signed lung share: positive left, negative right."""
        volume = np.empty(self.grid.shape, dtype=np.float32)
        lungs = np.empty(self.grid.shape, dtype=np.float32)
        for row in range(self.grid.shape[0]):
            volume[row] = self.tissue(row)
            lungs[row] = self.lung_share(row)
        self._paint_belly(volume)
        paint_mediastinum(volume, self.grid, self.patient.organs, self.build)
        paint_spine(volume, self.grid, self.build)
        paint_front(volume, self.grid, self.outlines)
        texture = TextureLookup(self.patient.texture, self.grid)
        for row in range(self.grid.shape[0]):
            blend(volume[row], self.lung_tissue(row, texture), np.abs(lungs[row]))
        self._paint_branches(volume)
        paint_airways(volume, self.grid, self.patient.organs.airways, self.build)
        return volume, lungs

    def tissue(self, row: int) -> Array:
        """One slice (Y, X) of everything but the organs inside the cage."""
        hu, width = self.build.hu, np.float32(self.grid.spacing_mm[0])
        image = self.empty_couch.copy()
        depth = self.radius - self.lookup("skin", row)
        blend(image, hu("skin"), coverage(depth, width))
        blend(image, hu("fat"), coverage(depth + np.float32(1.8), width))
        wall = self.radius - self.lookup("cage", row)
        blend(image, hu("muscle"), coverage(self.radius - self.lookup("muscle", row), width))
        self._paint_wall(image, wall, row)
        y = self.grid.y[:, None] / np.float32(self.build.scale[1])
        between = np.clip((np.float32(66.0) - y) / np.float32(5.0), 0, 1)  # not the back muscles
        blend(image, hu("fat"), coverage(wall + np.float32(1.0), width) * between)
        self._paint_abdomen(image, wall, row)
        return image

    def _paint_abdomen(self, image: Array, wall: Array, row: int) -> None:
        """Draw diaphragm, liver and fat below the lungs into one slice, in place."""
        hu, pixel = self.build.hu, np.float32(self.grid.spacing_mm[0])
        thick, floor, height = self.floor_width, self.floor, self.grid.z[row]
        if height > float(floor.max()) + 5.0:
            return
        inside = coverage(wall + np.float32(1.5), pixel) * self.before_spine
        under = np.clip((floor - height) / thick + np.float32(0.5), 0, 1) * inside
        blend(image, hu("muscle"), under)
        deep = np.clip((floor - np.float32(3.0) - height) / thick + np.float32(0.5), 0, 1)
        deep *= coverage(wall + np.float32(4.5), pixel) * self.before_spine
        blend(image, hu("fat"), deep)
        blend(image, hu("liver"), deep * self.liver)

    def _paint_wall(self, image: Array, wall: Array, row: int) -> None:
        """Draw fat planes between muscles, shoulder blades and ribs into one slice, in place."""
        where = np.nonzero((wall > -3.0) & (wall < 60.0))
        depth, column = wall[where], self.bin[where]
        part, width = image[where], np.float32(self.grid.spacing_mm[0])
        hu, flesh = self.build.hu, np.clip((image[where] + 30.0) / 60.0, 0, 1)
        planes = self.tables["planes"][row][column]
        layer = depth - np.float32(13.0) + planes * np.float32(2.2)
        layer = np.abs(layer - np.float32(17.0) * np.rint(layer / np.float32(17.0)))
        fat = coverage(layer - np.float32(0.6) - planes * np.float32(0.5), width)
        armpit = self.tables["armpit"][row][column]
        fat = np.maximum(fat, coverage(np.abs(depth - np.float32(24.0)) - armpit, width))
        fat *= (depth > 9.0) * flesh * np.float32(0.85)
        blend(part, hu("fat"), fat)
        blade = np.abs(depth - self.tables["blade"][row][column]) - np.float32(2.2)
        blade = np.maximum(blade, self.tables["scapula"][row][column])
        blend(part, hu("cortical_bone") * 0.7, coverage(blade, width) * flesh)
        across, bone = (self.tables[name][row][column] for name in ("rib", "bone"))
        paint_ribs(part, depth, (across, bone), self.build, width)
        image[where] = part

    def lung_share(self, row: int) -> Array:
        """Share (Y, X) of each voxel that is lung, negative on the right."""
        wall = self.lookup("cage", row) - self.radius
        share = wall / np.float32(self.grid.spacing_mm[0])
        height, middle = self.grid.z[row], len(self.grid.x) // 2
        middle = int(np.searchsorted(self.grid.x, 0.0))
        for side, part in ((RIGHT, np.s_[:, :middle]), (LEFT, np.s_[:, middle:])):
            table, x = self.sides[side], self.grid.x[None, part[1]]
            inner = (side * x - table["inner"][row][:, None]) / table["inner_width"][row][:, None]
            floor = (height - table["floor"][part]) / table["floor_width"][part]
            ceiling = (table["ceiling"][part] - height) / table["ceiling_width"][part]
            view = share[part]
            for limit in (inner, floor, ceiling):
                np.minimum(view, limit, out=view)
            view += np.float32(0.5)
            np.clip(view, 0.0, 1.0, out=view)
            view *= np.float32(side)
        return np.asarray(share)

    def lung_tissue(self, row: int, texture: TextureLookup) -> Array:
        """HU (Y, X) of lung tissue: denser towards the back, uneven."""
        gradient = self.grid.y[:, None] * np.float32(self.build.gravity_hu_per_mm)
        return np.asarray(texture.slice(row) + (gradient + np.float32(self.build.lung_hu)))

    def _paint_branches(self, volume: Array) -> None:
        """Draw bronchi and vessels into the lungs, in place; airways stay open."""
        share = tree_share(self.patient.bronchi, self.grid, widen_mm=0.75)
        blend_sparse(volume, self.build.hu("airway_wall"), share)
        share = tree_share(self.patient.vessels, self.grid)
        blend_sparse(volume, self.build.hu("blood"), share)
        share = tree_share(self.patient.bronchi, self.grid)
        blend_sparse(volume, self.build.hu("air") + 40.0, share)

    def _paint_belly(self, volume: Array) -> None:
        """Draw what lies under the diaphragm, in place."""
        for tissue, solid in self.belly:
            window, share = solid.share(self.grid)
            blend(volume[window], self.build.hu(tissue), share)


def belly_organs(patient: Patient) -> list[tuple[str, Ellipsoid]]:
    """Spleen and stomach with its gas."""
    scale = np.array(patient.build.scale)
    dome = patient.outlines.domes[LEFT]
    still = np.eye(3)
    parts = [
        ("stomach", (52, -26, dome - 46), (50, 42, 42)),
        ("air", (50, -50, dome - 36), (30, 14, 22)),
        ("spleen", (82, 36, dome - 62), (40, 44, 52)),
    ]
    return [(t, Ellipsoid(np.array(c) * scale, np.array(h) * scale, still)) for t, c, h in parts]


def lung_labels(lungs: Array, airway: Array) -> NDArray[np.uint8]:
    """Lung map (Z, Y, X) as LUNA16 gives it: 3 left, 4 right, 5 windpipe, 0 elsewhere."""
    labels = np.zeros(lungs.shape, dtype=np.uint8)
    labels[lungs > 0.5] = LEFT_LABEL
    labels[lungs < -0.5] = RIGHT_LABEL
    labels[airway > 0.5] = TRACHEA_LABEL
    return labels


def airway_share(patient: Patient, grid: Grid) -> Array:
    """Share (Z, Y, X) of each voxel that is air of windpipe and main bronchi."""
    ends = [np.stack([t.points[:-1], t.points[1:]], axis=1) for t in patient.organs.airways]
    radii = [np.full((len(t.points) - 1, 2), t.radius_mm) for t in patient.organs.airways]
    return tree_share(Tree(np.concatenate(ends), np.concatenate(radii)), grid)
