"""An abdomen in HU with the true extent of its organs, drawn from the outside inwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.abdomen_build import PHASES, Body, draw_body
from scripts.phantom.abdomen_lesions import Lesion
from scripts.phantom.abdomen_organs import Organs, draw_organs
from scripts.phantom.abdomen_shapes import Axes, draw_field, rise, sample_field
from scripts.phantom.abdomen_torso import SPINE_BACK_MM, Torso, draw_torso
from scripts.phantom.abdomen_vessels import draw_great_vessels, draw_liver_vessels
from scripts.phantom.branching import Tree
from scripts.phantom.chest import at_heights
from scripts.phantom.couch import draw_couch
from scripts.phantom.mediastinum import Tube
from scripts.phantom.outlines import ANGLES
from scripts.phantom.skeleton import paint_ribs, paint_spine
from scripts.phantom.solids import Array, Grid, Window, blend, coverage, edge_width, tube_share

SLAB = 24  # slices drawn at a time, so that memory stays small
BONE_HU = 140.0  # what the spine and ribs show above this counts as bone
FIELDS = {"ripple": (9.0, 2.2), "bowel": (6.0, 1.6), "mottle": (4.5, 0.7)}  # step in mm, smoothness
# what the label map tells apart, one bit each; sub-structures of the liver keep its bit
STRUCTURES = (
    *("skin", "bone", "liver", "spleen", "left_kidney", "right_kidney", "stomach"),
    *("gallbladder", "artery", "vein", "portal_vein", "lungs"),
)
BITS = {name: 1 << i for i, name in enumerate(STRUCTURES)}


@dataclass(frozen=True)
class Patient:
    """Everything about one patient that does not depend on how it is scanned."""

    body: Body
    torso: Torso
    organs: Organs
    vessels: tuple[Tube, ...]
    trees: tuple[tuple[str, Tree], ...]
    fields: dict[str, Array]


def draw_patient(rng: np.random.Generator, phase: str) -> Patient:
    """Draw a patient's abdomen in one phase of contrast medium.

    Raises:
        ValueError: for an unknown phase.
    """
    if phase not in PHASES:
        raise ValueError(f"phase must be one of {', '.join(PHASES)}, got {phase!r}")
    body = draw_body(rng, phase)
    torso = draw_torso(body, rng)
    organs = draw_organs(body, rng)
    vessels = draw_great_vessels(body, rng)
    trees = draw_liver_vessels(organs, torso, rng)
    fields = {name: draw_field(rng, *numbers) for name, numbers in FIELDS.items()}
    return Patient(body, torso, organs, vessels, trees, fields)


def paint_abdomen(
    patient: Patient, grid: Grid, lesions: tuple[Lesion, ...]
) -> tuple[Array, NDArray[np.uint16], NDArray[np.uint8]]:
    """Draw an abdomen without noise.

    Returns:
        HU, structures as :data:`BITS`, and lesions as their number from 1; all (Z, Y, X).
    """
    volume = np.empty(grid.shape, dtype=np.float32)
    labels = np.zeros(grid.shape, dtype=np.uint16)
    numbers = np.zeros(grid.shape, dtype=np.uint8)
    for low in range(0, len(grid.z), SLAB):
        part = slice(low, low + SLAB)
        slab = Grid(grid.x, grid.y, grid.z[part], grid.spacing_mm)
        SlabPainter(patient, slab, (volume[part], labels[part], numbers[part])).paint(lesions)
    return volume, labels, numbers


class SlabPainter:
    """Draws a few slices of one patient into arrays that are given.

    Args:
        patient: whose abdomen.
        grid: the slices' voxels.
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

    def paint(self, lesions: tuple[Lesion, ...]) -> None:
        """Draw everything, from the outside inwards."""
        self.paint_torso()
        self.paint_chest()
        self.paint_bowel()
        organs = self.patient.organs
        for tube in (*organs.muscles, *organs.pancreas):
            self.paint_tube(tube)
        self.paint_spleen()
        self.paint_stomach()
        for side in (0, 1):
            self.paint_kidney_fat(side)
        self.paint_liver(lesions)
        for side, name in enumerate(("left_kidney", "right_kidney")):
            self.paint_kidney(side, name)
        for tube in self.patient.vessels:
            self.paint_tube(tube)
        self.paint_bones()

    def put(self, window: Window, share: Array, value: float | Array, name: str = "") -> None:
        """Draw a share of a structure; what is named takes its voxels from other structures."""
        blend(self.volume[window], value, share)
        if not name:
            return
        where, part = share > 0.5, self.labels[window]
        kept = BITS["skin"]
        if name in ("vein", "portal_vein", "artery"):
            kept |= BITS["liver"]
        np.bitwise_and(part, kept, out=part, where=where)
        np.bitwise_or(part, BITS[name], out=part, where=where)

    # --- around the organs ------------------------------------------------------------------------

    def paint_torso(self) -> None:
        """Draw couch, skin, fat, the muscles of the wall and the fat inside."""
        torso, hu, pixel = self.patient.torso, self.hu, np.float32(self.grid.spacing_mm[0])
        self.volume[...] = draw_couch(self.grid, torso.couch_mm)
        skin, muscle = self.depth(torso.skin), self.depth(torso.muscle)
        self.labels[skin < 0] = BITS["skin"]
        blend(self.volume, hu("skin"), coverage(skin, pixel))
        blend(self.volume, hu("fat"), coverage(skin + np.float32(1.8), pixel))
        flesh = coverage(muscle, pixel)
        layer = muscle + np.float32(6.5) + self.fields["ripple"] * np.float32(4)
        layer = np.abs(layer - np.float32(8.5) * np.rint(layer / np.float32(8.5)))
        thin = np.float32(0.25) * self.fields["bowel"] - np.float32(0.1)
        planes = coverage(layer - thin, pixel) * np.float32(0.45)
        blend(self.volume, hu("muscle") + self.fields["mottle"] * 5, flesh)
        blend(self.volume, hu("fat"), planes * flesh)
        y = self.grid.y[:, None] / np.float32(self.patient.body.scale[1])
        x = self.grid.x[None, :] / np.float32(self.patient.body.scale[0])
        back = rise(y, 52.0, 60.0) * (1 - rise(np.abs(x), 52.0, 66.0))  # muscles along the spine
        inside = coverage(self.wall, pixel) * (1 - back)
        blend(self.volume, hu("fat") + self.fields["mottle"] * 6, inside)

    def paint_chest(self) -> None:
        """Draw the diaphragm, the lung bases above it and the heart."""
        torso, hu = self.patient.torso, self.hu
        above = self.grid.z[:, None, None] - torso.diaphragm(
            self.grid.x[None, :], self.grid.y[:, None]
        )
        if float(above.max()) < -4.0:
            return
        inside = coverage(self.wall + np.float32(1.0), self.width)
        thick = np.float32(1.3) * self.width + np.float32(0.3 * self.grid.spacing_mm[2])
        blend(self.volume, hu("muscle"), coverage(-above - np.float32(3), thick) * inside)
        x = self.grid.x[None, None, :] / np.float32(self.patient.body.scale[0])
        y = self.grid.y[None, :, None] / np.float32(self.patient.body.scale[1])
        middle = np.hypot((x - 4) / np.float32(34), (y - 40) / np.float32(34)) - 1
        middle = np.minimum(
            middle, np.hypot((x - 8) / np.float32(30), (y + 40) / np.float32(60)) - 1
        )
        lung = coverage(-above, thick) * coverage(self.wall + np.float32(2.0), self.width)
        self.put(self.all, lung * rise(middle, -0.06, 0.06), hu("lung"), "lungs")
        lung_window = (
            coverage(-above - np.float32(2), thick) * inside * (1 - rise(middle, -0.06, 0.06))
        )
        blend(self.volume, hu("fat"), lung_window)
        for solid, name in zip(self.patient.organs.heart, ("muscle", "heart"), strict=True):
            window, share = solid.share(self.grid)
            over = coverage(-above[window] - np.float32(3), thick)
            self.put(window, share * over, hu(name))
            self.labels[window][(share * over) > 0.5] &= BITS["skin"]

    def paint_bowel(self) -> None:
        """Draw loops of small bowel below the stomach, and the colon around them."""
        x, y, z = self.grid.axes(self.all)
        sx, sy, sz = (np.float32(factor) for factor in self.patient.body.scale)
        zone = np.hypot((x - 8 * sx) / (88 * sx), (y + 30 * sy) / (48 * sy))
        zone = (zone - 1) * np.float32(40)
        zone = np.maximum(np.maximum(zone, z + np.float32(18) * sz), self.wall + np.float32(8))
        field, mottle = self.fields["bowel"], self.fields["mottle"]
        fat = np.float32(0.2 + 0.9 * self.patient.body.inner_fat)
        loops = np.maximum((fat - np.abs(field) * np.float32(2.2)) * np.float32(9), zone)
        loops = np.where(np.abs(field) < 0.05, np.float32(1.0), loops)
        wall = coverage(loops, self.width)
        blend(self.volume, self.hu("bowel_wall"), wall)
        content = self.hu("fluid") + mottle * 9
        gas = rise(self.fields["ripple"], 1.1, 1.3) * rise(-y, 15.0, 40.0)
        content = content + (self.hu("gas") - content) * gas
        blend(self.volume, content, coverage(loops + np.float32(3.0), self.width))
        self.paint_colon()

    def paint_colon(self) -> None:
        """Draw the colon: wall, faeces with bubbles, gas in front."""
        tube = self.patient.organs.colon
        share, inner = (np.zeros(self.grid.shape, dtype=np.float32) for _ in range(2))
        for start, end in pairwise(tube.points):
            ends = np.stack([start, end])
            for target, less in ((share, 0.0), (inner, 3.0)):
                window, part = tube_share(self.grid, ends, np.full(2, tube.radius_mm - less))
                np.maximum(target[window], part, out=target[window])
        room = coverage(self.wall + np.float32(5), self.width)
        blend(self.volume, self.hu("bowel_wall"), share * room)
        mottle, ripple = self.fields["mottle"], self.fields["ripple"]
        content = self.hu("faeces") + mottle * 45 - rise(mottle, 0.9, 1.8) * 420
        front = ripple - self.grid.y[None, :, None] / np.float32(45)
        content = content + (self.hu("gas") - content) * rise(front, 1.2, 1.5)
        blend(self.volume, content, inner * room)

    # --- organs -----------------------------------------------------------------------------------

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

    def paint_spleen(self) -> None:
        """Draw the spleen, mottled in the arterial phase."""
        window = self.patient.organs.spleen[0].window(self.grid, 8.0)
        axes = self.grid.axes(window)
        distance = self.patient.organs.spleen_distance(axes, self.wall[window], self.patient.torso)
        distance = distance + self.fields["ripple"][window] * np.float32(1.5)
        uneven = 22.0 if self.patient.body.phase == "arterial" else 2.0
        value = self.hu("spleen") + self.fields["bowel"][window] * np.float32(uneven)
        self.put(window, coverage(distance, self.width), value, "spleen")

    def paint_stomach(self) -> None:
        """Draw the stomach: wall, content, and gas above its level (the patient lies)."""
        reach = [part.window(self.grid, 14.0) for part in self.patient.organs.stomach]
        low, high = (
            [pick(getattr(w[i], end) for w in reach) for i in range(3)]
            for pick, end in ((min, "start"), (max, "stop"))
        )
        window = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
        axes = self.grid.axes(window)
        if not axes[2].size:
            return
        above = axes[2] - self.patient.torso.diaphragm(axes[0], axes[1])
        distance = self.patient.organs.stomach_distance(axes)
        distance = np.maximum(distance, above + np.float32(5))
        distance = np.maximum(distance, self.wall[window] + np.float32(6))
        distance = distance + self.fields["ripple"][window] * np.float32(2.5)
        self.put(window, coverage(distance, self.width), self.hu("bowel_wall"), "stomach")
        folds = np.abs(self.fields["bowel"][window]) * np.float32(2.0)
        inner = coverage(distance + np.float32(3.5) + folds, self.width)
        level = axes[1] - np.float32(self.patient.organs.stomach_level_mm)
        content = self.hu("fluid") + self.fields["mottle"][window] * 12
        content = content + (self.hu("gas") - content) * coverage(level, self.width)
        blend(self.volume[window], content, inner)

    def paint_liver(self, lesions: tuple[Lesion, ...]) -> None:
        """Draw the liver with its vessels, lesions and the gall bladder."""
        x, y, z = self.grid.axes(self.all)
        organs, torso = self.patient.organs, self.patient.torso
        distance = organs.liver.distance((x, y, z), self.wall, torso)
        distance += self.fields["ripple"] * np.float32(2.2)
        distance = np.maximum(distance, self.fissure((x, y, z)))
        share = coverage(distance, self.width)
        self.put(self.all, share, self.hu("liver") + self.fields["mottle"] * 3, "liver")
        for tissue, tree in self.patient.trees:
            name = "vein" if tissue == "hepatic_vein" else tissue
            for ends, radii in zip(tree.ends, tree.radii, strict=True):
                window, part = tube_share(self.grid, ends, radii)
                if part.size:
                    self.put(window, part * share[window], self.hu(tissue), name)
        for number, lesion in enumerate(lesions, start=1):
            self.paint_lesion(lesion, number, share)
        window, part = organs.gallbladder.grown(1.5).share(self.grid)
        self.put(window, part, self.hu("bowel_wall"), "gallbladder")
        window, part = organs.gallbladder.share(self.grid)
        self.put(window, part, self.hu("bile"), "gallbladder")
        self.numbers[(self.labels & BITS["liver"]) == 0] = 0

    def fissure(self, axes: Axes) -> Array:
        """Signed distance in mm to all but the fissure between the liver's lobes."""
        x, y, z = axes
        sx = np.float32(self.patient.body.scale[0])
        wedge = np.abs(x - np.float32(4) * sx + np.float32(0.12) * z)
        depth = np.float32(5.5) - wedge + np.float32(0.14) * np.minimum(-y - np.float32(58), 0)
        return np.asarray(depth - np.float32(0.16) * np.maximum(z - np.float32(4), 0))

    def paint_lesion(self, lesion: Lesion, number: int, liver: Array) -> None:
        """Draw one tumour or cyst inside the liver: tumours uneven, with a darker middle."""
        window = lesion.solid.window(self.grid, 6.0)
        distance = lesion.solid.distance(self.grid.axes(window))
        if not distance.size:
            return
        value = np.full_like(distance, self.hu(lesion.kind))
        if lesion.is_tumour:
            distance = distance + self.fields["bowel"][window] * np.float32(1.2)
            core = rise(-distance, 2.0, 0.8 * float(lesion.solid.half_axes.max()))
            value = value + (np.float32(self.hu("necrosis")) - value) * core * np.float32(0.6)
            value = value + self.fields["mottle"][window] * np.float32(5)
        soft = np.float32(1.6 if lesion.is_tumour else 1.0) * self.width
        share = coverage(distance, soft) * liver[window]
        blend(self.volume[window], value, share)
        self.numbers[window][share > 0.5] = number

    def paint_kidney_fat(self, side: int) -> None:
        """Draw the fat that keeps other organs off a kidney."""
        margin = 3.0 + 9.0 * self.patient.body.inner_fat
        window, share = self.patient.organs.kidneys[side].outline.grown(margin).share(self.grid)
        share *= coverage(self.wall[window] + np.float32(1), self.width)
        blend(self.volume[window], self.hu("fat"), share)
        self.labels[window][share > 0.5] &= BITS["skin"]

    def paint_kidney(self, side: int, name: str) -> None:
        """Draw a kidney: cortex, pyramids, sinus with fat and pelvis."""
        kidney = self.patient.organs.kidneys[side]
        window = kidney.outline.grown(3.0).window(self.grid)
        axes = self.grid.axes(window)
        whole = coverage(kidney.outline.distance(axes), self.width)
        blend(self.volume[window], self.hu("fat"), whole)
        self.labels[window][whole > 0.5] &= BITS["skin"]
        distance = kidney.distance(axes) + self.fields["ripple"][window] * np.float32(0.7)
        share = coverage(distance, self.width)
        self.put(window, share, self.hu("cortex"), name)
        outer = kidney.outline.distance(axes)
        columns = np.abs(self.fields["bowel"][window]) * np.float32(7) - np.float32(1.6)
        pyramids = np.maximum(outer + np.float32(6.5), -columns)
        blend(self.volume[window], self.hu("medulla"), coverage(pyramids, self.width) * share)
        pelvis = coverage(kidney.pelvis.distance(axes), self.width) * (1 - share)
        blend(self.volume[window], self.hu("renal_pelvis"), pelvis)

    def paint_bones(self) -> None:
        """Draw ribs and spine; both count as bone where they are dense."""
        build, torso = self.patient.body.skeleton(), self.patient.torso
        before = self.volume.copy()
        where = np.nonzero((self.wall > -2.0) & (self.wall < 14.0))
        across, bone = (self.lookup(table)[where] for table in torso.ribs)
        part = self.volume[where]
        paint_ribs(part, self.wall[where], (across, bone), build, self.width)
        self.volume[where] = part
        y = self.grid.y - np.float32(SPINE_BACK_MM)
        spine = Grid(self.grid.x, y, self.grid.z, self.grid.spacing_mm)
        paint_spine(self.volume, spine, build)
        drawn = (np.abs(self.volume - before) > 1.0) & (self.volume > BONE_HU)
        self.labels[drawn] = BITS["skin"] | BITS["bone"]
        self.numbers[drawn] = 0
