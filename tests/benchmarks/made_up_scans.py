"""CT-sized scans in LUNA16's layout, for measuring: two ellipsoids of lung, noise, one nodule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

SPACING = (0.7, 0.7, 1.5)
HEADER = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"


def chest(slices: int, size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Return HU int16 and seg-lungs labels uint8, each (Z, Y, X)."""
    z, y, x = np.ogrid[-1 : 1 : slices * 1j, -1 : 1 : size * 1j, -1 : 1 : size * 1j]
    z, y, x = (axis.astype(np.float32) for axis in (z, y, x))
    hu = np.where((x / 0.9) ** 2 + (y / 0.7) ** 2 < 1, 40, -1000) + np.zeros_like(z)
    lungs = np.zeros(hu.shape, np.uint8)
    for label, side in ((4, -0.4), (3, 0.4)):
        lungs[((x - side) / 0.3) ** 2 + (y / 0.5) ** 2 + (z / 0.9) ** 2 < 1] = label
    hu[lungs > 0] = -850
    noise = np.random.default_rng(0).normal(0, 25, hu.shape[1:])  # one slice of it, rolled
    rolled = np.stack([np.roll(noise, 37 * k, axis=1) for k in range(slices)])
    return (hu + rolled).astype(np.int16), lungs


def write_cohort(folder: Path, *, scans: int, slices: int, lungs: bool = True) -> None:
    """Write scans with plain .raw, a nodule each, and their seg-lungs as .zraw."""
    hu, labels = chest(slices)
    rows = []
    for number in range(scans):
        name = f"1.{number}.mhd"
        write(folder / "subset0" / name, hu, compress=False)
        if lungs:
            write(folder / "seg-lungs-LUNA16" / name, labels, compress=True)
        centre = (0.7 * (256 + 100), 0.7 * 256, 1.5 * (slices // 2))
        rows.append(f"1.{number},{centre[0]},{centre[1]},{centre[2]},9.0\n")
    (folder / "annotations.csv").write_text(HEADER + "".join(rows))


def write(path: Path, array: np.ndarray, *, compress: bool) -> None:
    """Write one volume as .mhd with .raw or .zraw."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    sitk.WriteImage(image, str(path), useCompression=compress)
