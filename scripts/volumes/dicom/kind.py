"""What a file below a folder of scans is, if it is not a slice of a CT; why it is left out."""

from __future__ import annotations

import re
from pathlib import PurePath

from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from scripts.storage.archive import is_stray
from scripts.volumes.dicom.slice import SliceFile

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
CAPTURES = (
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
NOT_DICOM = "has the suffix of a DICOM file but is not one"
EMPTY = "an empty file"
AMONG_SLICES = "is among slices, but is neither DICOM nor text"
STRAY = "hidden, or left by the operating system"
OTHER = "neither DICOM nor a volume"
UNREAD = "a volume of a format that is not read; convert it to .nii.gz"
ARCHIVE = "an archive, or compressed, but no .zip; unpack it to have it read"
DIRECTORY = "DICOMDIR, an index of DICOM files"
_ARCHIVES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")
# NIfTI and Analyze in two files, FreeSurfer, MINC, GIPL
_VOLUMES = (".hdr", ".img", ".mgh", ".mgz", ".mnc", ".gipl")
_ZIP = b"PK\x03\x04"
# first bytes of pictures and documents: JPEG, PNG, GIF, BMP, PDF, SQLite
_KNOWN = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"%PDF", b"SQLite format")
# ImageType of pictures that scanners add to a series: screenshots, dose sheets
_PICTURES = {"SCREEN SAVE", "SCREENSHOT", "DOSE_INFO", "DOSE"}


def why_not_slice(each: SliceFile) -> str:
    """Return why a DICOM file is not a CT slice; empty if it is one.

    Raises:
        ValueError: for a file that may have been a slice, but whose header is cut short.
    """
    header = each.header
    modality = modality_of(header)
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if kind == MediaStorageDirectoryStorage or "DirectoryRecordSequence" in header:
        return DIRECTORY
    images = (None, CTImageStorage, *ENHANCED, *CAPTURES)
    if not modality:
        if kind in images:
            raise ValueError("has no Modality: its header is cut short or damaged")
        return "without a modality, not CT"
    if modality != "CT":
        known = re.fullmatch(r"[A-Z]{2,16}", modality)
        return f"modality {modality}, not CT" if known else "without a modality, not CT"
    if kind not in images and not each.pixels.length:
        return "a CT object without an image"
    types = set(header.get("ImageType") or ())
    if "LOCALIZER" in types:
        return "localiser, not a slice"
    positioned = "ImagePositionPatient" in header or "ImageOrientationPatient" in header
    picture = kind in CAPTURES or types & _PICTURES or header.get("SamplesPerPixel") == 3
    if picture and not positioned and not is_multi_frame(header):
        return "secondary capture without a position, not a slice"
    if not header.get("SeriesInstanceUID") and each.pixels.damage:
        raise ValueError(each.pixels.damage)
    return ""


def modality_of(header: Dataset) -> str:
    """Return the Modality; some programs write it in lower case, or with blanks around it."""
    return str(header.get("Modality") or "").strip().upper()


def images_listed(directory: Dataset) -> dict[str, int]:
    """Count the images that a DICOMDIR lists, by SeriesInstanceUID (DICOM PS3.3, F.3).

    A series' images follow it, as its branch of the tree is written in one piece.
    """
    counts: dict[str, int] = {}
    uid = ""
    for record in directory.get("DirectoryRecordSequence") or ():
        kind = record.get("DirectoryRecordType")
        if kind == "SERIES":
            uid = str(record.get("SeriesInstanceUID") or "")
        elif kind == "IMAGE" and uid:
            counts[uid] = counts.get(uid, 0) + 1
    return counts


def is_multi_frame(header: Dataset) -> bool:
    """Whether a file holds several frames (DICOM PS3.3, A.38)."""
    return header.get("SOPClassUID") in ENHANCED or int(header.get("NumberOfFrames") or 1) > 1


def why_not_dicom(parts: tuple[str, ...], head: bytes, *, among_slices: bool) -> tuple[str, bool]:
    """Say what a file is that is neither DICOM nor a volume that is read.

    Args:
        parts: folders and name.
        head: its first bytes.
        among_slices: whether its folder has CT slices.

    Returns:
        The reason; and whether it may have been a slice, so that leaving it out is an error.

    Example:
        >>> why_not_dicom(("ct", "notes.txt"), b"text", among_slices=True)
        ('neither DICOM nor a volume', False)
        >>> why_not_dicom(("ct", "chest.hdr.gz"), b"data", among_slices=False)
        ('a volume of a format that is not read; convert it to .nii.gz', False)
        >>> why_not_dicom(("ct", "IM0007"), b"", among_slices=True)
        ('an empty file', True)
    """
    if is_stray(parts):
        return (DIRECTORY if parts[-1].upper() == "DICOMDIR" else STRAY), False
    suffix = PurePath(parts[-1]).suffix.lower()
    like_slice = not suffix.strip(".0123456789")  # IM0007, 1.2.840.113704.7
    if suffix in DICOM_SUFFIXES:
        return (NOT_DICOM if head else EMPTY), True
    if not head:
        return EMPTY, like_slice
    if suffix in _VOLUMES or PurePath(parts[-1]).stem.lower().endswith(_VOLUMES):
        return UNREAD, False
    if suffix in _ARCHIVES or head.startswith(_ZIP):
        return ARCHIVE, False
    if like_slice and among_slices and not (_is_text(head) or head.startswith(_KNOWN)):
        return AMONG_SLICES, True
    return OTHER, False


def _is_text(head: bytes) -> bool:
    return not set(head) & {*range(9), *range(14, 27), *range(28, 32)}
