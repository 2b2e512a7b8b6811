"""Stacks of slices of the analytic chest that form no regular grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scripts.volumes.resampling import SliceStack
from tests.analytic.dicom_files import UID, Encoding, save, slice_dataset
from tests.analytic.phantom import CENTRE, ORIENTATIONS, Grid

EDGES_MM = (2.1, 1.9)
SHAPE = (96, 94)
# name -> orientation, distances of slices in mm (repeated), tilt in degrees about the rows
STACKS = {
    "even": ("axial", (3.5,), 0.0),
    "tilted by 6 degrees": ("axial", (3.5,), 6.0),
    "tilted by -12 degrees": ("axial", (3.5,), -12.0),
    "tilted by 24 degrees": ("axial", (3.0,), 24.0),
    "tilted, prone": ("prone", (3.5,), 10.0),
    "tilted, feet first": ("feet first", (3.5,), 7.0),
    "swivelled": ("decubitus", (3.5,), 9.0),
    "shaken within the planes": ("axial", (3.5,), 0.0),
    "one slice missing": ("axial", (*(3.5,) * 15, 7.0, *(3.5,) * 18), 0.0),
    "uneven": ("axial", (2.5, 4.0, 3.0, 4.5), 0.0),
    "thin, then thick": ("axial", (*(1.25,) * 45, *(5.0,) * 16), 0.0),
    "uneven and tilted": ("axial", (3.0, 4.0), 8.0),
    "uneven, coronal": ("coronal", (2.5, 4.5), 0.0),
}
LENGTH_MM = dict.fromkeys(("axial", "prone", "feet first", "decubitus"), 124.0) | {"coronal": 146.0}
SHAKEN_MM = 2.0


def stack_of(name: str) -> SliceStack:
    """A stack around the whole chest; a tilted one moves along the body's axis, its planes lean."""
    orientation, distances, tilt = STACKS[name]
    row, column = np.array(ORIENTATIONS[orientation], float).reshape(2, 3)
    normal = np.cross(row, column)
    angle = np.deg2rad(tilt)
    leaning = np.cos(angle) * column + np.sin(angle) * normal
    repeated = np.resize(np.array(distances), int(np.ceil(LENGTH_MM[orientation] / min(distances))))
    offsets = np.concatenate([[0], np.cumsum(repeated)])
    offsets = offsets[offsets <= LENGTH_MM[orientation]] / np.cos(angle)
    middle = (SHAPE[1] - 1) / 2 * EDGES_MM[0] * row + (SHAPE[0] - 1) / 2 * EDGES_MM[1] * leaning
    first = CENTRE - normal * offsets[-1] / 2 - middle
    positions = first + offsets[:, None] * normal
    if name.startswith("shaken"):
        positions += SHAKEN_MM * np.sin(np.arange(len(offsets)))[:, None] * (row + column)
    return SliceStack(positions, np.stack([row, leaning]), EDGES_MM, SHAPE)


def slice_grid(stack: SliceStack, k: int) -> Grid:
    """One slice of a stack as a grid of one slice, 1 mm thick."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = stack.axes * np.array(stack.edges_mm)[:, None]
    affine[:3, 2], affine[:3, 3] = stack.normal, stack.positions[k]
    return Grid((1, *stack.shape), affine)


def write_stack(folder: Path, stack: SliceStack) -> list[Path]:
    """Write one DICOM file for each slice of a stack; return their paths in its order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(len(stack.positions)):
        grid = slice_grid(stack, k)
        data = slice_dataset(grid, 0, grid.hu()[0], Encoding())
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{UID}.7.{k + 1}"
        data.InstanceNumber = k + 1
        paths.append(save(data, folder, f"slice{(k * 37) % 101:03d}.dcm"))
    return paths
