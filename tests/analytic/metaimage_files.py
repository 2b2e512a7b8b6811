"""The analytic chest as MetaImage and NRRD files, their headers written as text.

Formats: https://itk.org/Wiki/MetaIO/Documentation and https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.analytic.phantom import Array, Grid

METAIMAGE_TYPES = {
    "i2": "MET_SHORT",
    "u2": "MET_USHORT",
    "i4": "MET_INT",
    "f4": "MET_FLOAT",
    "f8": "MET_DOUBLE",
    "i8": "MET_LONG_LONG",
}
NRRD_TYPES = {"i2": "short", "u2": "ushort", "i4": "int", "f4": "float", "f8": "double"}


def numbers(values: Any) -> str:
    """Numbers as both formats write them."""
    return " ".join(f"{value:.10g}" for value in np.ravel(values))


def write_metaimage(
    path: Path,
    grid: Grid,
    *,
    dtype: str = "i2",
    big_endian: bool = False,
    compressed: bool = False,
    before: bytes = b"",
    data_name: str = "",
    newline: str = "\n",
    changes: Mapping[str, str | None] = {},
    hu_offset: int = 0,
) -> Path:
    """Write an .mhd with its data file, or an .mha.

    Args:
        path: its suffix decides.
        grid: where the chest is sampled.
        dtype: of the voxels.
        big_endian: byte order of the voxels.
        compressed: deflate them.
        before: bytes of the data file before the voxels.
        data_name: of the data file of an .mhd.
        newline: end of the header's lines.
        changes: entries by name; None leaves one out.
        hu_offset: subtracted from HU, as a wrong file does.
    """
    voxels = (grid.hu().astype(int) - hu_offset).astype((">" if big_endian else "<") + dtype)
    content = zlib.compress(voxels.tobytes()) if compressed else voxels.tobytes()
    local = path.suffix == ".mha"
    name = "LOCAL" if local else data_name or f"{path.stem}.{'zraw' if compressed else 'raw'}"
    header: dict[str, str | None] = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(big_endian),
        "CompressedData": str(compressed),
        "CompressedDataSize": str(len(content)) if compressed else None,
        "TransformMatrix": numbers((grid.affine[:3, :3] / grid.spacing).T),
        "Offset": numbers(grid.affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": numbers(grid.spacing),
        "DimSize": numbers(grid.shape[::-1]),
        "HeaderSize": None,
        "ElementType": METAIMAGE_TYPES[dtype],
    }
    lines = [f"{key} = {value}" for key, value in {**header, **changes}.items() if value]
    text = newline.join([*lines, f"ElementDataFile = {name}", ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() + (before + content if local else b""))
    if not local:
        (path.parent / name).write_bytes(before + content)
    return path


def write_nrrd(
    path: Path,
    grid: Grid,
    *,
    dtype: str = "i2",
    big_endian: bool = False,
    encoding: str = "raw",
    space: str | None = "left-posterior-superior",
    unit_mm: float = 1.0,
    before: bytes = b"",
    data_name: str = "",
    newline: str = "\n",
    changes: Mapping[str, str | None] = {},
) -> Path:
    """Write a .nrrd, with attached data unless ``data_name`` is given.

    Args:
        path: the file.
        grid: where the chest is sampled.
        dtype: of the voxels.
        big_endian: byte order of the voxels.
        encoding: raw, gzip, bzip2, ascii or hex.
        space: of the directions and the origin; None writes neither.
        unit_mm: the length in mm in which directions and origin are given.
        before: bytes or lines before the voxels.
        data_name: name of a detached data file.
        newline: end of the header's lines.
        changes: fields by name; None leaves one out.
    """
    voxels = grid.hu().astype((">" if big_endian else "<") + dtype)
    content = before + _nrrd_encoded(voxels, encoding)
    fields: dict[str, str | None] = {
        "type": NRRD_TYPES[dtype],
        "dimension": "3",
        "space": space,
        "sizes": numbers(grid.shape[::-1]),
        **(_nrrd_geometry(grid.affine, space, unit_mm) if space else {}),
        "kinds": "domain domain domain",
        "endian": "big" if big_endian else "little",
        "encoding": encoding,
        "data file": data_name or None,
    }
    lines = [f"{key}: {value}" for key, value in {**fields, **changes}.items() if value]
    text = newline.join(["NRRD0004", "# the analytic chest", *lines, "", ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    if data_name:
        path.write_bytes(text.encode().removesuffix(newline.encode()))
        (path.parent / data_name).write_bytes(content)
    else:
        path.write_bytes(text.encode() + content)
    return path


def _nrrd_geometry(affine: Array, space: str, unit_mm: float) -> dict[str, str]:
    """Directions and origin in the space's own axes."""
    words = space.split("-") if "-" in space else list(space.lower())
    signs = [1 if word[0].lower() in "lps" else -1 for word in words]
    turned = np.diag(signs) @ affine[:3] / unit_mm
    vectors = [f"({','.join(f'{value:.10g}' for value in column)})" for column in turned.T]
    return {"space directions": " ".join(vectors[:3]), "space origin": vectors[3]}


def _nrrd_encoded(voxels: np.ndarray, encoding: str) -> bytes:
    if encoding in ("ascii", "text"):
        return " ".join(map(str, voxels.ravel().tolist())).encode()
    if encoding == "hex":
        return voxels.tobytes().hex().encode()
    content = voxels.tobytes()
    return {"raw": bytes, "gzip": gzip.compress, "gz": gzip.compress, "bzip2": bz2.compress}[
        encoding
    ](content)
