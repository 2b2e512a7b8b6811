"""Volume files by their suffix: MetaImage, NRRD and NIfTI, read without ITK."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from scripts.volumes.formats.metaimage import (
    named_data_file,
    parse_metaimage_header,
    read_metaimage_header,
)
from scripts.volumes.formats.nifti import read_nifti_header
from scripts.volumes.formats.nrrd import named_data_file as named_nrrd_data_file
from scripts.volumes.formats.nrrd import parse_nrrd_header, read_nrrd_header
from scripts.volumes.formats.stored_voxels import (
    StoredVolume,
    read_voxels,
    relative_name,
)
from scripts.volumes.geometry import check_affine
from scripts.volumes.volume import Volume

VOLUME_SUFFIXES = (".mhd", ".mha", ".nrrd", ".nhdr", ".nii", ".nii.gz")
SEGMENTATION_SUFFIX = ".seg.nrrd"  # of 3D Slicer, with names of the segments
_METAIMAGE, _NRRD = (".mhd", ".mha"), (".nrrd", ".nhdr")


def read_header(path: Path) -> StoredVolume:
    """Read the header of a volume file.

    Args:
        path: its name ends in one of :data:`VOLUME_SUFFIXES`, in any case.

    Raises:
        FileNotFoundError: for a header whose data file does not exist.
        ValueError: naming the file and what its header lacks or states wrongly.
        OSError: for a file that cannot be read.
    """
    name = path.name.lower()
    if name.endswith(_METAIMAGE):
        return read_metaimage_header(path)
    if name.endswith(_NRRD):
        return read_nrrd_header(path)
    return read_nifti_header(path)


def read_volume_file(path: Path) -> Volume:
    """Read a volume file, in its own orientation and number type.

    Raises:
        FileNotFoundError, ValueError, OSError: see :func:`read_header`,
            :func:`~scripts.volumes.formats.stored_voxels.read_voxels` and
            :func:`~scripts.volumes.geometry.check_affine`.
    """
    stored = read_header(path)
    check_affine(stored.affine_lps, str(path))
    return Volume(read_voxels(stored), stored.affine_lps)


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that a volume is made of: the header's and, if separate, the voxels'.

    A header that cannot be read, or whose data file is missing, gives its own file only: the reason
    is reported when the volume is read.
    """
    with suppress(OSError, ValueError):
        stored = read_header(path)
        return (path,) if stored.data == path else (path, stored.data)
    return (path,)


def data_file_named_by(name: str, head: bytes) -> str:
    """Return the voxel file that a header names, relative to its folder; empty if there is none.

    Args:
        name: the header's file name.
        head: its first bytes, :data:`~scripts.volumes.formats.stored_voxels.HEADER_BYTES` at most.

    Raises:
        ValueError: for an invalid header, or one that points outside its folder.

    Example:
        >>> data_file_named_by("a.mhd", b"DimSize = 1 1 1\\nElementDataFile = a.raw")
        'a.raw'
        >>> data_file_named_by("a.nii", b"")
        ''
    """
    path, lower = Path(name), name.lower()
    if lower.endswith(_METAIMAGE):
        named = named_data_file(path, parse_metaimage_header(path, head)[0])
        return relative_name(path, named, "ElementDataFile") if named else ""
    if lower.endswith(_NRRD):
        named = named_nrrd_data_file(path, parse_nrrd_header(path, head)[0])
        return relative_name(path, named, "data file") if named else ""
    return ""
