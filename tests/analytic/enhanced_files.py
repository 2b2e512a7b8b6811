"""The analytic chest as enhanced multi-frame CT, written by pydicom alone (PS3.3, A.38)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian

from tests.analytic.dicom_files import Encoding, save, slice_dataset
from tests.analytic.phantom import Grid

PLAIN = ExplicitVRLittleEndian
FRAMES_UID = "1.2.826.0.1.3680043.8.498.13.8"
# element of a single-frame header -> functional group that holds it in a multi-frame file
GROUPS = {
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
}
SHARED = ("PixelSpacing", "SliceThickness", "ImageOrientationPatient")


def write_enhanced(
    folder: Path,
    slices: Sequence[Grid],
    encoding: Encoding | None = None,
    *,
    name: str = "enhanced.dcm",
    shared: Sequence[str] = SHARED,
    **changes: Any,
) -> Path:
    """Write one file whose frames are the slices, in their order.

    Args:
        folder: made if it does not exist.
        slices: grids of one slice each.
        encoding: of the pixels.
        name: of the file.
        shared: elements that are the same in all frames, and are written once.
        changes: top-level elements by keyword; None leaves one out.
    """
    encoding = encoding or Encoding()
    frames = [
        slice_dataset(grid, 0, grid.hu()[0], Encoding(**{**vars(encoding), "syntax": PLAIN}))
        for grid in slices
    ]
    data = frames[0]
    shared_item, items = Dataset(), [Dataset() for _ in frames]
    for k, (frame, item) in enumerate(zip(frames, items, strict=True)):
        content = Dataset()
        content.StackID, content.InStackPositionNumber = "1", k + 1
        content.DimensionIndexValues = [1, k + 1]
        item.FrameContentSequence = [content]
        for keyword, group in GROUPS.items():
            _put(shared_item if keyword in shared else item, group, keyword, frame[keyword].value)
    pixels = b"".join(frame.PixelData for frame in frames)
    for keyword in GROUPS:
        del data[keyword]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = FRAMES_UID
    data.NumberOfFrames = len(frames)
    data.SharedFunctionalGroupsSequence = [shared_item]
    data.PerFrameFunctionalGroupsSequence = items
    data.PixelData = pixels
    for keyword, value in changes.items():
        if value is None:
            data.pop(keyword, None)
        else:
            setattr(data, keyword, value)
    if pydicom.uid.UID(encoding.syntax).is_encapsulated:
        data.compress(encoding.syntax, generate_instance_uid=False)
    folder.mkdir(parents=True, exist_ok=True)
    return save(data, folder, name)


def _put(item: Dataset, group: str, keyword: str, value: Any) -> None:
    if group not in item:
        setattr(item, group, [Dataset()])
    setattr(item[group].value[0], keyword, value)


def slices_of(grid: Grid, order: Sequence[int] | None = None) -> list[Grid]:
    """Each slice of a grid as a grid of its own, in this order."""
    grids = []
    for k in range(grid.shape[0]) if order is None else order:
        affine = grid.affine.copy()
        affine[:3, 3] += k * affine[:3, 2]
        grids.append(Grid((1, *grid.shape[1:]), affine))
    return grids
