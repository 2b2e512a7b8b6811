"""Cases of a datalist as stacks of slices in HU, without their labels, which are read apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from scripts.datasets.stored_slices import LPS_TO_RAS, read_rows
from scripts.volumes.geometry import spacing_of, to_lps, world_to_index
from scripts.volumes.readers import read_image, read_volume
from scripts.volumes.volume import Volume

Case = Mapping[str, Any]
Floats = NDArray[np.float64]
Hu = NDArray[np.float32]


@dataclass(frozen=True)
class CTStack:
    """A CT, or a slice of it with its neighbours.

    Attributes:
        hu: (S, Y, X), from the feet to the head, rows to the back, columns to the left.
        spacing_mm: (z, y, x).
        rows: those that are segmented; of a prepared slice the middle one.
        first: index of row 0 in the whole volume.
        affine_lps: (4, 4), index (i, j, k) of the whole volume to LPS mm.
        depth: slices of the whole volume; None if unknown.
        is_volume: whether it is a whole volume; a slice without neighbours is one row, too.
    """

    hu: Hu
    spacing_mm: Floats
    rows: range
    first: int
    affine_lps: Floats
    depth: int | None
    is_volume: bool

    def index_of(self, point_lps_mm: Any) -> Floats:
        """Return the place (row, y, x) of a point in this stack, fractions allowed."""
        i, j, k = world_to_index(point_lps_mm, self.affine_lps)
        return np.array([k - self.first, j, i])


def read_stack(case: Case, slices: int) -> CTStack:
    """Read the CT of a case; its label is not opened.

    Args:
        case: entry of :func:`scripts.datasets.datalist.load_datalist`.
        slices: that each patch needs, odd.

    Raises:
        ValueError: for a slice that was prepared with fewer neighbours, or a damaged file.
    """
    if "slice" not in case:
        return stack_of(read_volume(case["image"]).in_lps())
    rows = list(case["rows"])
    spare = (len(rows) - slices) // 2
    if spare < 0:
        raise ValueError(
            f"patch_slices: {slices} slices need {slices // 2} neighbours on each side; the data "
            f"were prepared with {len(rows) // 2}; prepare again with --neighbours {slices // 2}, "
            "or give --patch_slices 1"
        )
    wanted = rows[spare : len(rows) - spare]
    middle = len(wanted) // 2
    x, y, z = (float(mm) for mm in case["spacing_mm"])
    return CTStack(
        read_rows(case["image"], wanted, np.float32),
        np.array([z, y, x]),
        range(middle, middle + 1),
        int(case["slice"]) - middle,
        np.asarray(case["affine_lps"], np.float64),
        case.get("slices_in_volume"),
        is_volume=False,
    )


def stack_of(volume: Volume) -> CTStack:
    """Return a whole volume, which must be in LPS index order, as a stack."""
    hu, affine = volume.hu.astype(np.float32), volume.affine_lps
    return CTStack(hu, spacing_of(affine)[::-1], range(len(hu)), 0, affine, len(hu), True)


def read_label(case: Case) -> NDArray[np.uint8]:
    """Read the label of the rows that are segmented, (rows, Y, X)."""
    if "slice" not in case:
        volume: NDArray[np.uint8] = sitk.GetArrayFromImage(to_lps(read_image(case["label"])))
        return volume.astype(np.uint8)
    return read_rows(case["label"], [_middle(case)], np.uint8)


def read_lung(case: Case) -> NDArray[np.bool_] | None:
    """Read the lung field of a prepared slice (1, Y, X); None where there is none."""
    if "lung" not in case or "slice" not in case:
        return None
    return read_rows(case["lung"], [_middle(case)], np.uint8) > 0


def _middle(case: Case) -> int:
    rows = case["rows"]
    return int(rows[len(rows) // 2])


def as_output(
    predicted: NDArray[np.uint8], label: NDArray[np.uint8], stack: CTStack
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return prediction and label as an evaluation takes them.

    Args:
        predicted: (rows, Y, X).
        label: (rows, Y, X).
        stack: in whose grid they are.

    Returns:
        Of a slice (1, H, W); of a volume (1, Z, Y, X) with the affine.
    """
    if not stack.is_volume:
        return torch.from_numpy(predicted), torch.from_numpy(label)
    affine = torch.from_numpy(LPS_TO_RAS @ stack.affine_lps[:, [2, 1, 0, 3]])
    first, second = (
        MetaTensor(torch.from_numpy(a[None]), affine=affine) for a in (predicted, label)
    )
    return first, second
