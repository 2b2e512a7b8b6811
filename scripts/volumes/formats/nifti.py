"""NIfTI files: their header, and conversion of arrays with qform and sform equal.

Format: https://nifti.nimh.nih.gov/nifti-1 ; nibabel reads the header.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from scripts.volumes.formats.stored_voxels import StoredVolume
from scripts.volumes.geometry import (
    ORTHOGONAL_TOLERANCE,
    SAME_GRID_TOLERANCE_VOXELS,
    Floats,
    index_to_world,
    lps_to_ras,
    spacing_of,
)

GZIP = b"\x1f\x8b"
UNITS_MM = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # unknown counts as mm, as every reader has it
_HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_MAGIC = {348: b"n+1", 540: b"n+2"}


def nifti_of(array: NDArray[Any], affine_lps: NDArray[np.float64]) -> nibabel.Nifti1Image:
    """Convert an array to a NIfTI image.

    nibabel writes it, because ITK's NIfTI writer does not report a full disk.

    Args:
        array: (Z, Y, X), int16 HU or uint8 labels.
        affine_lps: (4, 4), index (i, j, k) to LPS mm.
    """
    nifti = nibabel.Nifti1Image(array.transpose(2, 1, 0), lps_to_ras(affine_lps))
    nifti.header.set_xyzt_units("mm")
    nifti.set_qform(nifti.affine, code="scanner")
    nifti.set_sform(nifti.affine, code="scanner")
    return nifti


def read_nifti_header(path: Path) -> StoredVolume:
    """Read the header of a NIfTI-1 or NIfTI-2 file, compressed or not, whatever its suffix.

    Raises:
        ValueError: naming the file: not NIfTI, not one volume of real numbers, without a position
            (neither qform nor sform is coded), or with two that differ.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP
        file.seek(0)
        head = _inflated_head(path, file) if compressed else file.read(540)
    header = _header(path, head)
    shape, kind = _grid(path, header)
    try:
        slope, intercept = header.get_slope_inter()
        start = int(header.get_data_offset())
    except (HeaderDataError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: not a readable NIfTI file: {error}") from error
    if start < len(header.binaryblock):
        raise ValueError(
            f"{path}: vox_offset, where the voxels begin, must be {len(header.binaryblock)} or "
            f"more, got {start}"
        )
    return StoredVolume(
        path,
        path,
        start=start,
        shape=shape,
        kind=kind,
        affine_lps=_affine(path, header),
        coding="gzip file" if compressed else "raw",
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
    )


def _inflated_head(path: Path, file: Any) -> bytes:
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            return stream.read(540)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path}: the compressed data are damaged or truncated ({error}); copy or download "
            "the file again"
        ) from error


def _header(path: Path, head: bytes) -> Any:
    """Return nibabel's header, in the file's byte order."""
    sizes = {int.from_bytes(head[:4], order): order for order in ("little", "big")}
    size = next((size for size in _HEADERS if size in sizes and len(head) >= size), 0)
    if not size:
        raise ValueError(f"{path}: not a readable NIfTI file: no header of 348 or 540 bytes")
    magic = head[344:347] if size == 348 else head[4:7]
    if magic in (b"ni1", b"ni2"):
        raise ValueError(f"{path}: the header of a pair of files; convert it to one .nii file")
    if magic != _MAGIC[size]:
        raise ValueError(f"{path}: not a readable NIfTI file: without its mark {_MAGIC[size]!r}")
    order = "<" if sizes[size] == "little" else ">"
    return _HEADERS[size](head[:size], endianness=order, check=False)


def _grid(path: Path, header: Any) -> tuple[tuple[int, int, int], np.dtype[Any]]:
    """Return shape (Z, Y, X) and number type."""
    dim = [int(value) for value in header["dim"]]
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise ValueError(f"{path}: dim must be 1 to 7 sizes above 0, got {dim}")
    sizes = dim[1 : dim[0] + 1]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) == 4:
        raise ValueError(f"{path}: must be one 3D volume, holds {sizes[3]} (sizes {sizes})")
    if len(sizes) == 5:
        raise ValueError(f"{path}: must have one value per voxel, got {sizes[4]} (sizes {sizes})")
    if len(sizes) != 3:
        raise ValueError(f"{path}: must be one 3D volume, got sizes {sizes}")
    try:
        kind = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError) as error:
        raise ValueError(f"{path}: datatype {int(header['datatype'])} is unknown") from error
    if kind.kind not in "iuf" or kind.itemsize > 8:
        name = "colours (RGB)" if kind.fields else str(kind)
        raise ValueError(
            f"{path}: must have one real number per voxel, got {name} "
            f"(datatype {int(header['datatype'])})"
        )
    if int(header["bitpix"]) != 8 * kind.itemsize:
        raise ValueError(
            f"{path}: bitpix must be {8 * kind.itemsize} for datatype {int(header['datatype'])}, "
            f"got {int(header['bitpix'])}"
        )
    return (sizes[2], sizes[1], sizes[0]), kind


# --- geometry -------------------------------------------------------------------------------------


def _affine(path: Path, header: Any) -> Floats:
    """Return (4, 4), index to LPS mm: of the sform if it is coded, else of the qform."""
    units = int(header["xyzt_units"]) & 7
    if units not in UNITS_MM:
        raise ValueError(f"{path}: xyzt_units must be m, mm or microns, got code {units}")
    forms: dict[str, Floats] = {}
    if int(header["sform_code"]) > 0:
        forms["sform"] = header.get_sform()
    if int(header["qform_code"]) > 0:
        forms["qform"] = _qform(path, header)
    if not forms:
        raise ValueError(
            f"{path}: neither qform nor sform is coded, so that orientation and position would be "
            "made up; convert the original images again, or set the codes if the matrix is right"
        )
    for name, form in forms.items():
        if not np.isfinite(form).all() or not (spacing_of(form) > 0).all():
            raise ValueError(
                f"{path}: {name} must be finite, with spacing above 0, got {form[:3].tolist()}"
            )
    if len(forms) == 2:
        _check_same(path, forms["sform"], forms["qform"], header.get_data_shape()[:3])
    affine = lps_to_ras(next(iter(forms.values())))
    affine[:3] *= UNITS_MM[units]
    return affine


def _qform(path: Path, header: Any) -> Floats:
    spacing = np.array(header["pixdim"][1:4], float)
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise ValueError(f"{path}: spacing (pixdim) must be above 0 mm, got {spacing.tolist()}")
    quaternion = [float(header[f"quatern_{name}"]) for name in "bcd"]
    if not np.isfinite(quaternion).all() or sum(q * q for q in quaternion) > 1 + 1e-3:
        raise ValueError(f"{path}: qform must be a rotation, got quaternion {quaternion}")
    if float(header["pixdim"][0]) not in (-1.0, 0.0, 1.0):
        raise ValueError(
            f"{path}: qfac (pixdim[0]) must be 1 or -1, got {float(header['pixdim'][0])}"
        )
    if float(header["pixdim"][0]) == 0.0:
        header["pixdim"][0] = 1.0  # the standard's default
    largest = max(1.0, float(np.sqrt(sum(q * q for q in quaternion))))
    for name, value in zip("bcd", quaternion, strict=True):
        header[f"quatern_{name}"] = value / largest  # rounded above 1 by its writer
    return np.asarray(header.get_qform(), np.float64)


def _check_same(path: Path, sform: Floats, qform: Floats, size: tuple[int, ...]) -> None:
    """Refuse a file whose two forms differ.

    A qform is a rotation: of an sform whose axes are slightly off perpendicular, as in many
    published files, it holds the nearest one.
    """
    ends = np.vstack([np.zeros(3), np.diag(np.array(size) - 1.0)])
    shift = np.abs(index_to_world(ends, sform) - index_to_world(ends, qform)).max(axis=1)
    smallest, length = spacing_of(sform).min(), np.r_[0.0, (np.array(size) - 1) * spacing_of(sform)]
    allowed = SAME_GRID_TOLERANCE_VOXELS * smallest + ORTHOGONAL_TOLERANCE * length
    if (shift > allowed).any():
        raise ValueError(
            f"{path}: its qform and sform place voxels up to {shift.max():.3f} mm apart; "
            "remove the wrong one from the file"
        )
