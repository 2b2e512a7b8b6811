"""A slice that was delineated by hand: read, checked against its CT, put on the network's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from scripts.running.reasons import listed
from scripts.volumes.geometry import Floats, index_to_world, lps_to_ras, world_to_index
from scripts.volumes.grids import Grid, difference_of_grids, grid_in_lps
from scripts.volumes.volume import Volume
from scripts.volumes.volume_files import read_volume_file


@dataclass(frozen=True)
class DrawnSlice:
    """A drawing on the grid of a network's input.

    Attributes:
        index: of the slice, along the last axis of the input.
        number: of the slice in the CT as it is stored, from 0.
        label: (1, H, W) int64, the class of each voxel, 0 background.
        known: bool (C,), the classes that the drawing decides: background, and those drawn. Another
            class may be in the slice without having been drawn.
        voxels: number of drawn voxels.
        outside: those of them that the input does not contain, because the bundle crops it.
    """

    index: int
    number: int
    label: torch.Tensor
    known: torch.Tensor
    voxels: int
    outside: int

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that were drawn."""
        return tuple(int(value) for value in torch.nonzero(self.known).flatten()[1:])


@dataclass(frozen=True)
class Drawing:
    """A hand-drawn mask: of a whole CT, of which one slice is used, or of this slice only.

    Attributes:
        labels: (Z, Y, X) uint8 in LPS index order.
        affine_lps: (4, 4), index (x, y, z) to LPS mm.
        slice_number: of the slice to use, in the CT as it is stored, from 0; None for the only one
            that is drawn.
        class_names: of the bundle, background first.
        lesions: whether every value above 0 is a lesion, as in maps that number them.
    """

    labels: NDArray[np.uint8]
    affine_lps: Floats
    slice_number: int | None
    class_names: tuple[str, ...]
    lesions: bool = False

    @classmethod
    def read(
        cls,
        path: Path,
        slice_number: int | None,
        *,
        class_names: Sequence[str],
        lesions: bool = False,
    ) -> Drawing:
        """Read a mask file.

        Raises:
            FileNotFoundError: when it does not exist.
            ValueError: for a file that is not one volume of whole numbers, of values that are no
                class of the bundle, or without a drawn voxel.
        """
        volume = read_volume_file(path)
        labels = class_values(volume.hu, class_names, lesions=lesions)
        turned = Volume(labels, volume.affine_lps).in_lps()  # type: ignore[arg-type]
        return cls(turned.hu, turned.affine_lps, slice_number, tuple(class_names), lesions)  # type: ignore[arg-type]

    def on(self, image: MetaTensor) -> DrawnSlice:
        """Put the drawing on the grid of a network's input.

        Args:
            image: (C, H, W, D), preprocessed by the bundle, slices along the last axis, with its
                affine and with the grid of the CT in its metadata.

        Raises:
            ValueError: for a mask of another geometry, a slice that the CT does not have or that is
                not drawn, or a drawing outside of the input.
        """
        own = _stored_grid(image)
        ct = grid_in_lps(own)
        first = self._first_slice(ct)
        row = self._row(own, first)
        plane = self.labels[row]
        affine = lps_to_ras(_floats(image, "affine"))
        index = _index_along(affine, tuple(image.shape[1:]), ct, first + row)
        shifted = self.affine_lps.copy()
        shifted[:3, 3] = index_to_world([0, 0, row], self.affine_lps)
        label = _sampled(plane, shifted, affine, (*image.shape[1:3], index))
        drawn = np.argwhere(plane > 0)
        voxels = np.c_[drawn[:, ::-1], np.zeros(len(drawn))]
        there = world_to_index(index_to_world(voxels, shifted), affine)[:, :2]
        inside = ((there > -0.5) & (there < np.array(image.shape[1:3]) - 0.5)).all(axis=1)
        if not label.any():
            raise ValueError(
                f"annotated: nothing drawn in slice {slice_number(own, first + row)} lies in the "
                "region that the bundle gives its network; check that the mask belongs to this CT"
            )
        known = torch.zeros(len(self.class_names), dtype=torch.bool)
        known[[0, *np.unique(label).tolist()]] = True
        return DrawnSlice(
            index=index,
            number=slice_number(own, first + row),
            label=torch.from_numpy(label.astype(np.int64))[None],
            known=known,
            voxels=len(drawn),
            outside=int((~inside).sum()),
        )

    def _first_slice(self, ct: Grid) -> int:
        """Return the slice of the CT, in LPS order, on which the mask's first slice lies."""
        z, y, x = self.labels.shape
        mine = Grid((x, y, z), self.affine_lps)
        difference = difference_of_grids(ct, mine)
        if not difference:
            return 0
        if z == 1 and ct.size[2] > 1:
            nearest = float(world_to_index(self.affine_lps[:3, 3], ct.affine)[2])
            k = min(max(round(nearest), 0), ct.size[2] - 1)
            moved = ct.affine.copy()
            moved[:3, 3] = index_to_world([0, 0, k], ct.affine)
            difference = difference_of_grids(Grid((*ct.size[:2], 1), moved), mine)
            if not difference:
                return k
        raise ValueError(
            f"annotated: must have the geometry of the image, or of one of its slices: "
            f"{difference}; draw on this CT, or resample the mask to it"
        )

    def _row(self, own: Grid, first: int) -> int:
        """Return the mask's slice to use, after checking that there is one."""
        drawn = np.flatnonzero(self.labels.any(axis=(1, 2)))
        numbers = sorted(slice_number(own, first + int(row)) for row in drawn)
        total = own.size[_axis(own)]
        if self.slice_number is None:
            if len(numbers) != 1:
                raise ValueError(
                    f"slice: must be given, because the mask is drawn on {len(numbers)} slices "
                    f"({listed(numbers)}); name one of them"
                )
            return int(drawn[0])
        if not 0 <= self.slice_number < total:
            raise ValueError(
                f"slice: must be 0 to {total - 1}, the slices of the image, got {self.slice_number}"
            )
        if self.slice_number not in numbers:
            raise ValueError(
                f"annotated: nothing is drawn on slice {self.slice_number}; drawn on: "
                f"{listed(numbers)} (counted from 0)"
            )
        return int(
            drawn[[slice_number(own, first + int(row)) for row in drawn].index(self.slice_number)]
        )


def class_values(
    values: NDArray[Any], class_names: Sequence[str], *, lesions: bool
) -> NDArray[np.uint8]:
    """Return the classes of a mask as uint8, the same shape; lesions of any number are class 1.

    Raises:
        ValueError: for values that are not whole numbers or no class, or a mask without any.

    Example:
        >>> class_values(np.array([0, 3, 255]), ["background", "nodule"], lesions=True)
        array([0, 1, 1], dtype=uint8)
    """
    present = np.unique(values)
    if not len(present) or present[0] < 0 or (present != np.round(present)).any():
        shown = f"{present[0]:g} to {present[-1]:g}" if len(present) else "none"
        raise ValueError(f"annotated: must be whole numbers from 0 on, got {shown}")
    if present[-1] == 0:
        raise ValueError("annotated: nothing is drawn in the mask; all its voxels are 0")
    if lesions:
        return (values > 0).astype(np.uint8)
    if present[-1] >= len(class_names):
        meanings = ", ".join(f"{value} {name}" for value, name in enumerate(class_names))
        raise ValueError(
            f"annotated: values must be the classes of the bundle ({meanings}), got "
            f"{present[-1]:g}; renumber the mask"
        )
    return values.astype(np.uint8)


def _floats(image: MetaTensor, name: str) -> Floats:
    """Return an affine of the metadata, index to RAS mm."""
    value = image.affine if name == "affine" else image.meta[name]
    return np.asarray(value, np.float64)


def slice_number(own: Grid, k: int) -> int:
    """Convert the number of a slice in LPS order to that in the stored order, or back.

    Args:
        own: the stored grid, with its affine to RAS mm.
        k: from 0, along the index axis that runs nearest to the patient's from feet to head.

    Example:
        >>> slice_number(Grid((4, 4, 10), np.diag([1.0, 1.0, -2.0, 1.0])), 0)
        9
    """
    orientation = io_orientation(own.affine)
    axis = _axis(own)
    return k if orientation[axis, 1] > 0 else own.size[axis] - 1 - k


def slice_numbers(image: MetaTensor) -> list[int]:
    """Return the stored number of the CT's slice that each slice of a network's input shows.

    Args:
        image: (C, H, W, D), see :meth:`Drawing.on`.
    """
    own = _stored_grid(image)
    places = _places(lps_to_ras(_floats(image, "affine")), tuple(image.shape[1:]), grid_in_lps(own))
    return [
        slice_number(own, int(k)) for k in np.clip(np.rint(places), 0, own.size[_axis(own)] - 1)
    ]


def _stored_grid(image: MetaTensor) -> Grid:
    size = tuple(int(length) for length in image.meta["spatial_shape"])
    return Grid(size, _floats(image, "original_affine"))


def _axis(own: Grid) -> int:
    """Return the index axis that runs nearest to the patient's from feet to head."""
    return [int(axis) for axis in io_orientation(own.affine)[:, 0]].index(2)


def _places(affine: Floats, shape: tuple[int, ...], ct: Grid) -> Floats:
    """Return (D,): where the input's slices lie among those of the CT, in LPS order."""
    middle = [size // 2 for size in shape[:2]]
    points = np.array([[*middle, d] for d in range(shape[2])], float)
    places: Floats = world_to_index(index_to_world(points, affine), ct.affine)[:, 2]
    return places


def _index_along(affine: Floats, shape: tuple[int, ...], ct: Grid, k: int) -> int:
    """Return the input's slice that shows slice ``k`` of the CT, in LPS order.

    Raises:
        ValueError: when the input ends before it.
    """
    places = _places(affine, shape, ct)
    d = int(np.abs(places - k).argmin())
    if abs(places[d] - k) > 0.5 + 1e-3:
        raise ValueError(
            "slice: lies outside of the region that the bundle gives its network; choose one that "
            "shows what the bundle segments"
        )
    return d


def _sampled(
    plane: NDArray[np.uint8], plane_affine: Floats, affine: Floats, where: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Sample a drawing (Y, X), by nearest neighbour, at the voxels of one slice of the input.

    Args:
        plane: the drawing.
        plane_affine: (4, 4), its index (x, y, 0) to LPS mm.
        affine: (4, 4), index of the input to LPS mm.
        where: height and width of the input, and the slice.
    """
    height, width, d = where
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    points = np.stack([rows, columns, np.full_like(rows, d)], axis=-1).reshape(-1, 3)
    there = np.rint(world_to_index(index_to_world(points, affine), plane_affine)).astype(int)
    x, y = there[:, 0], there[:, 1]
    inside = (x >= 0) & (y >= 0) & (x < plane.shape[1]) & (y < plane.shape[0])
    label = np.zeros(height * width, np.uint8)
    label[inside] = plane[y[inside], x[inside]]
    return label.reshape(height, width)
