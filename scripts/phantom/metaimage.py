"""MetaImage and NIfTI files in the form LUNA16 distributes, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.storage.files import atomic_path

ELEMENT_TYPES = {"int16": "MET_SHORT", "uint8": "MET_UCHAR"}


@dataclass(frozen=True)
class Geometry:
    """Where an array (Z, Y, X) lies in the world, LPS mm, for axis-aligned scans.

    Args:
        offset_mm: world position (x, y, z) of the first voxel's centre.
        signs: direction (x, y, z) in which each index runs, +1 or -1.
        spacing_mm: voxel size (x, y, z).
    """

    offset_mm: tuple[float, float, float]
    signs: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def world(self, index_xyz: NDArray[np.floating]) -> NDArray[np.float64]:
        """World LPS mm of voxel indices (..., 3) in the order x, y, z, counted from 0.

        >>> geometry = Geometry((10.0, 0.0, 0.0), (-1, -1, 1), (0.5, 0.5, 2.0))
        >>> geometry.world(np.array([2, 2, 2])).tolist()
        [9.0, -1.0, 4.0]
        """
        step = np.array(self.signs) * np.array(self.spacing_mm)
        return np.asarray(np.array(self.offset_mm) + np.asarray(index_xyz) * step)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there, so that no half file is ever found.

    Raises:
        OSError: naming the file, if the folder or the disk refuses it.
    """
    try:
        with atomic_path(path) as beside:
            write(beside)
    except OSError as error:
        raise OSError(
            f"cannot write {path} ({error.strerror or error}); make room or name another output"
        ) from error


def header(array: NDArray[np.generic], geometry: Geometry, data_file: str) -> str:
    """The text of an .mhd file for an array (Z, Y, X)."""
    x, y, z = geometry.signs
    fields = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": False,
        "TransformMatrix": f"{x} 0 0 0 {y} 0 0 0 {z}",
        "Offset": " ".join(f"{value:.10g}" for value in geometry.offset_mm),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": " ".join(f"{value:.10g}" for value in geometry.spacing_mm),
        "DimSize": " ".join(str(length) for length in array.shape[::-1]),
        "ElementType": ELEMENT_TYPES[array.dtype.name],
        "ElementDataFile": data_file,
    }
    return "".join(f"{name} = {value}\n" for name, value in fields.items())


def write_metaimage(path: Path, array: NDArray[np.generic], geometry: Geometry) -> None:
    """Write an array (Z, Y, X) as PATH (.mhd) and a .raw beside it, data first."""
    data = path.with_suffix(".raw")
    stored = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    write_whole(data, lambda beside: stored.tofile(beside))
    text = header(array, geometry, data.name)
    write_whole(path, lambda beside: beside.write_text(text, encoding="ascii"))


def write_nifti(path: Path, array: NDArray[np.uint8], geometry: Geometry) -> None:
    """Write a mask (Z, Y, X) as compressed NIfTI."""
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(geometry.offset_mm)
    image.SetSpacing(geometry.spacing_mm)
    image.SetDirection(np.diag(np.array(geometry.signs, dtype=float)).ravel().tolist())
    write_whole(path, lambda beside: sitk.WriteImage(image, str(beside), useCompression=True))
