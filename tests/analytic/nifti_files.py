"""The analytic chest as NIfTI files, their headers packed by hand.

Layout of the headers: nifti1.h (348 bytes) and nifti2.h (540 bytes) of nifti.nimh.nih.gov.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tests.analytic.phantom import Array, Grid

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "u2": 512, "u4": 768, "i8": 1024}
UNITS = {"unknown": (0, 1.0), "m": (1, 1e-3), "mm": (2, 1.0), "micron": (3, 1e3)}


@dataclass(frozen=True)
class Form:
    """How a NIfTI file says where its voxels are, and how it stores them.

    Attributes:
        qform, sform: codes; 0 for a form that is not given.
        dtype: of the stored values, as a key of :data:`CODES`.
        slope, inter: scl_slope and scl_inter.
        units: of lengths, as a key of :data:`UNITS`; the affine is written in them.
        version: 1 or 2.
        big_endian: byte order.
        extension: bytes of a header extension, content only.
        offset: bytes before the voxels; by default the least possible.
        sform_shift_mm: by how far the sform alone is wrong along x.
        dim: number of dimensions that the header states; those beyond the third are 1.
    """

    qform: int = 1
    sform: int = 1
    dtype: str = "i2"
    slope: float = 1.0
    inter: float = 0.0
    units: str = "mm"
    version: int = 1
    big_endian: bool = False
    extension: bytes = b""
    offset: int = 0
    sform_shift_mm: float = 0.0
    dim: int = 3


def write_nifti(path: Path, grid: Grid, form: Form = Form()) -> Path:
    """Write the chest; a path that ends in .gz is compressed."""
    order = ">" if form.big_endian else "<"
    values = (grid.hu() - form.inter) / (form.slope or 1)
    voxels = np.asarray(values.round() if form.dtype[0] in "iu" else values, order + form.dtype)
    extension = _extension(form, order)
    header = _header(grid, form, order, len(extension))
    content = header + extension
    content += bytes(max(0, form.offset - len(content))) + voxels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)
    return path


def _extension(form: Form, order: str) -> bytes:
    """The four bytes that say whether there is an extension, and the extension."""
    if not form.extension:
        return bytes(4)
    size = -(-(len(form.extension) + 8) // 16) * 16
    padded = form.extension + bytes(size - 8 - len(form.extension))
    return b"\x01\0\0\0" + struct.pack(f"{order}ii", size, 6) + padded


def _header(grid: Grid, form: Form, order: str, after: int) -> bytes:
    code, scale = UNITS[form.units]
    affine = RAS @ grid.affine
    affine[:3] *= scale
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    qfac, quaternion = _quaternion(affine[:3, :3] / spacing)
    shifted = affine.copy()
    shifted[0, 3] += form.sform_shift_mm * scale
    slices, rows, columns = grid.shape
    size = 348 if form.version == 1 else 540
    values = {
        "dim": (form.dim, columns, rows, slices, 1, 1, 1, 1),
        "datatype": CODES[form.dtype],
        "bitpix": 8 * np.dtype(form.dtype).itemsize,
        "pixdim": (qfac, *spacing, 0, 0, 0, 0),
        "vox_offset": max(size + after, form.offset),
        "scl": (form.slope, form.inter),
        "units": code,
        "forms": (form.qform, form.sform),
        "qform": (*quaternion, *affine[:3, 3]) if form.qform else (0,) * 6,
        "sform": shifted[:3].ravel().tolist() if form.sform else (0,) * 12,
    }
    return (_nifti1 if form.version == 1 else _nifti2)(values, order)


def _nifti1(v: dict, order: str) -> bytes:
    return b"".join(
        [
            struct.pack(f"{order}i28xihbB", 348, 0, 0, ord("r"), 0),
            struct.pack(f"{order}8h3fhhhh", *v["dim"], 0, 0, 0, 0, v["datatype"], v["bitpix"], 0),
            struct.pack(f"{order}8ffff", *v["pixdim"], v["vox_offset"], *v["scl"]),
            struct.pack(f"{order}hBB4fii80x24x", 0, 0, v["units"], 0, 0, 0, 0, 0, 0),
            struct.pack(f"{order}hh6f12f16x4s", *v["forms"], *v["qform"], *v["sform"], b"n+1\0"),
        ]
    )


def _nifti2(v: dict, order: str) -> bytes:
    return b"".join(
        [
            struct.pack(f"{order}i8shh", 540, b"n+2\0\r\n\x1a\n", v["datatype"], v["bitpix"]),
            struct.pack(f"{order}8q3d8dq2d", *v["dim"], 0, 0, 0, *v["pixdim"], v["vox_offset"],
                        *v["scl"]),
            struct.pack(f"{order}4dqq80x24xii", 0, 0, 0, 0, 0, 0, *v["forms"]),
            struct.pack(f"{order}6d12diii16xb15x", *v["qform"], *v["sform"], 0, v["units"], 0, 0),
        ]
    )  # fmt: skip


def _quaternion(direction: Array) -> tuple[float, tuple[float, ...]]:
    """Qfac and b, c, d of a direction matrix, whose third column qfac may turn round."""
    qfac = 1.0 if np.linalg.det(direction) > 0 else -1.0
    x, y, z, w = Rotation.from_matrix(direction * (1, 1, qfac)).as_quat().tolist()
    sign = 1 if w >= 0 else -1
    return qfac, (sign * x, sign * y, sign * z)
