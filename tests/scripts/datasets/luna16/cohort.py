"""Tiny folders in LUNA16's layout, written for one test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from scripts.datasets.datalist import load_datalist
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.shares import PARTITIONS
from scripts.preparation.cohort import Request
from scripts.preparation.prepare_options import SliceOptions

AIR, LUNG, TISSUE = -1000, -850, 40
SPACING = (1.0, 1.25, 2.5)
ORIGIN = (-20.0, 30.0, -100.0)
HEADER = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"


def chest(shape: tuple[int, int, int] = (24, 40, 48), seed: int = 0) -> np.ndarray:
    """(Z, Y, X) int16: a body with one box of lung in it, and a little noise."""
    hu = np.full(shape, AIR, np.int16)
    hu[:, 2:-2, 2:-2] = TISSUE
    hu[2:-2, 6:-6, 6:-6] = LUNG
    noise = np.random.default_rng(seed).integers(-20, 20, shape)
    return (hu + noise).astype(np.int16)


def lung_mask(shape: tuple[int, int, int] = (24, 40, 48)) -> np.ndarray:
    """(Z, Y, X) uint8 as seg-lungs has it: 3 left, 4 right, 5 trachea."""
    mask = np.zeros(shape, np.uint8)
    mask[2:-2, 6:-6, 6 : shape[2] // 2] = 4
    mask[2:-2, 6:-6, shape[2] // 2 : -6] = 3
    mask[2:-2, 3:5, 20:24] = 5
    return mask


def as_image(array: np.ndarray, direction: Sequence[float] = (1, 0, 0, 0, 1, 0, 0, 0, 1)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(direction)
    return image


def world(image: sitk.Image, index: Sequence[float]) -> tuple[float, ...]:
    return image.TransformContinuousIndexToPhysicalPoint([float(i) for i in index])


class TinyCohort:
    """A folder to which scans and nodules are added."""

    def __init__(self, folder: Path, *, lungs: bool = True) -> None:
        self.folder, self.lungs = folder, lungs
        self.rows: list[str] = []
        (folder / "subset0").mkdir(parents=True)
        self.write_rows()

    def add(
        self,
        uid: str,
        nodules: Sequence[tuple[Sequence[float], float]] = (),
        *,
        subset: int = 0,
        direction: Sequence[float] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
    ) -> Path:
        """Write a scan; nodules are (index (i, j, k), diameter in mm)."""
        image = as_image(chest(seed=len(self.rows)), direction)
        path = self.folder / f"subset{subset}" / f"{uid}.mhd"
        path.parent.mkdir(exist_ok=True)
        sitk.WriteImage(image, path)
        if self.lungs:
            (self.folder / "seg-lungs-LUNA16").mkdir(exist_ok=True)
            mask = self.folder / "seg-lungs-LUNA16" / path.name
            sitk.WriteImage(as_image(lung_mask(), direction), mask)
        for index, diameter in nodules:
            self.row(uid, *world(image, index), diameter)
        return path

    def row(self, *cells: object) -> None:
        self.rows.append(",".join(str(cell) for cell in cells))
        self.write_rows()

    def write_rows(self) -> None:
        text = HEADER + "".join(row + "\n" for row in self.rows)
        (self.folder / "annotations.csv").write_text(text)


def several(folder: Path, count: int = 4) -> TinyCohort:
    """``count`` scans of one nodule of 9 mm each, the last also flipped."""
    cohort = TinyCohort(folder)
    for number in range(count):
        flipped = number == count - 1
        direction = (-1, 0, 0, 0, -1, 0, 0, 0, 1) if flipped else (1, 0, 0, 0, 1, 0, 0, 0, 1)
        cohort.add(f"1.{number}", [((20, 18, 8 + number), 9.0)], direction=direction)
    return cohort


def request(cohort, output, **changes):
    options = {"slices": SliceOptions("all", empty_share=0.2), "jobs": 1, **changes}
    return Request(options.pop("data_set", Luna16()), cohort.folder, output, **options)


def every_sample(output):
    return [s for section in PARTITIONS for s in load_datalist(output / "datalist.json", section)]
