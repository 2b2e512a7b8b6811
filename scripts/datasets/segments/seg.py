"""DICOM Segmentations (SEG): BINARY, FRACTIONAL and LABELMAP (DICOM PS3.3, A.51, C.8.20).

Every frame is placed by its own position, orientation and spacing, in any order; only planes of the
CT's voxels are accepted. They are read with the project's reader of DICOM, which notices pixels
that were cut short.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from scripts.datasets.segments.dicom_object import (
    SEG,
    check_reference,
    code_in,
    instances_in,
    items_below,
    read_object,
    series_in,
    text_of,
    title_of,
)
from scripts.datasets.segments.placement import Placement, place_grid
from scripts.datasets.segments.segment_file import CtGrid, Drawn, Segment, SegmentFile, Voxels
from scripts.storage.archive import ArchiveReader
from scripts.volumes.dicom.frames import EACH, SHARED, frames_of
from scripts.volumes.dicom.pixels import stored_values
from scripts.volumes.dicom.slice import SliceFile
from scripts.volumes.geometry import spacing_of
from scripts.volumes.slice_stack import normal_of

Pixels = NDArray[Any]
BINARY, FRACTIONAL, LABELMAP = "BINARY", "FRACTIONAL", "LABELMAP"
_SOURCES = ("DerivationImageSequence", "SourceImageSequence")


@dataclass(frozen=True)
class SegFile(SegmentFile):
    """A DICOM SEG with its header.

    Args:
        file: header and place of the pixels.
    """

    kind: ClassVar[str] = SEG
    empty_is_absent: ClassVar[bool] = True
    file: SliceFile = field(kw_only=True, repr=False)

    @classmethod
    def read(cls, path: Path) -> SegFile:
        """Read the header.

        Raises:
            ValueError, OSError: naming a file that is damaged, or of an unknown SegmentationType.
        """
        file = read_object(path)
        kind = text_of(file.header, "SegmentationType")
        if kind not in (BINARY, FRACTIONAL, LABELMAP):
            raise ValueError(
                f"{path}: SegmentationType must be {BINARY}, {FRACTIONAL} or {LABELMAP}, got "
                f"{kind or 'none'}"
            )
        segments = [_segment(item) for item in file.header.get("SegmentSequence") or ()]
        return cls(
            path,
            [one for one in segments if one.number],  # LABELMAP may describe the background
            title_of(file.header),
            series_in(file.header.get("ReferencedSeriesSequence") or ()),
            file=file,
        )

    def draw(self, numbers: Sequence[int], ct: CtGrid) -> Drawn:
        """See :meth:`~scripts.datasets.segments.segment_file.SegmentFile.draw`."""
        header, place = self.file.header, str(self.path)
        listed = items_below(header, "ReferencedSeriesSequence", "ReferencedInstanceSequence")
        sources = [*items_below(header, EACH, *_SOURCES), *items_below(header, SHARED, *_SOURCES)]
        frame = text_of(header, "FrameOfReferenceUID")
        instances = instances_in([*listed, *sources])
        check_reference(place, ct, self.series_uids, instances, {frame} - {""})
        drawn: dict[tuple[int, ...], Voxels] = {}
        partial = 0
        for shown, stored in self._frames():
            placed = self._placed(shown, ct)
            for number, mask in self._masks(shown, stored, numbers):
                key = (number, *placed.first.tolist())
                if key in drawn:
                    raise ValueError(f"{shown.place}: segment {number} has two frames of one plane")
                drawn[key] = self._voxels(shown, placed, mask, ct)
                partial += self._partial(stored)
        voxels = {number: _joined(number, drawn) for number in numbers}
        note = (
            f"{self.path.name}: {partial} voxels are partly segmented (FRACTIONAL); those of at "
            "least half the full value count"
        )
        return Drawn(voxels, (note,) if partial else ())

    def _frames(self) -> Iterator[tuple[SliceFile, Pixels]]:
        """Yield each frame that is not empty, with its stored values."""
        frames = frames_of(self.file)
        if frames == [self.file]:
            raise ValueError(f"{self.path}: its frames have no positions ({EACH} missing)")
        with ArchiveReader() as reader:
            values = stored_values(self.file, reader)
        values = values.reshape(len(frames), *self.file.shape)
        for frame, stored in zip(frames, values, strict=True):
            if stored.any():
                yield frame, stored

    def _placed(self, frame: SliceFile, ct: CtGrid) -> Placement:
        """Find a frame in the CT; refuse one beside its planes, or beside its source image."""
        axes = np.array(frame.required("ImageOrientationPatient")).reshape(2, 3)
        between_rows, between_columns = frame.required("PixelSpacing")
        rows, columns = self.file.shape
        try:
            normal_of(axes)  # refuses axes that are not perpendicular
            placed = place_grid(
                np.array(frame.required("ImagePositionPatient")),
                axes * np.array([[between_columns], [between_rows]]),
                (columns, rows),
                ct,
            )
            self._check_planes(frame, placed, ct)
        except ValueError as error:
            raise ValueError(f"{frame.place}: {error}") from error
        return placed

    def _check_planes(self, frame: SliceFile, placed: Placement, ct: CtGrid) -> None:
        """Refuse planes further apart than the CT's, and another slice than that referred to."""
        across = int(np.flatnonzero(~placed.steps.any(axis=0))[0])
        step_mm = float(spacing_of(ct.affine_lps)[across])
        between_mm = abs(frame.number("SpacingBetweenSlices", step_mm))
        if between_mm > 1.1 * step_mm:
            raise ValueError(
                f"its planes are {between_mm:g} mm apart, those of the CT {step_mm:g} mm; the "
                "slices between would count as background"
            )
        items = self.file.header[EACH].value[frame.frame - 1]
        sources = instances_in(items_below(items, *_SOURCES))
        slices = {ct.slice_of[source] for source in sources if source in ct.slice_of}
        if sources and not slices:
            raise ValueError("was drawn on an image that is not in the CT")
        if across == 2 and len(sources) == 1 and not slices & {-1, int(placed.first[2])}:
            raise ValueError(
                f"lies on slice {placed.first[2]} of the CT, but refers to slice {slices.pop()}"
            )

    def _masks(
        self, frame: SliceFile, stored: Pixels, numbers: Sequence[int]
    ) -> Iterator[tuple[int, Pixels]]:
        """Yield the wanted segments of a frame: number, and bool (rows, columns)."""
        known = {segment.number for segment in self.segments}
        if self._type == LABELMAP:
            shown = set(np.unique(stored).tolist()) - {0}
        else:
            shown = {self._number_of(frame)}
        if shown - known:
            raise ValueError(
                f"{frame.place}: holds segment {min(shown - known)}, which SegmentSequence does "
                "not describe"
            )
        for number in sorted(shown & set(numbers)):
            if self._type == LABELMAP:
                yield number, stored == number
            else:
                yield number, 2 * stored.astype(np.int64) >= self._full

    def _number_of(self, frame: SliceFile) -> int:
        header = self.file.header
        own = header[EACH].value[frame.frame - 1]
        for items in (own, *(header.get(SHARED) or ())):
            for item in items.get("SegmentIdentificationSequence") or ():
                return int(item.get("ReferencedSegmentNumber") or 0)
        raise ValueError(f"{frame.place}: does not say of which segment it is")

    @property
    def _type(self) -> str:
        return text_of(self.file.header, "SegmentationType")

    @property
    def _full(self) -> int:
        """The stored value of a voxel that lies wholly in a segment."""
        if self._type != FRACTIONAL:
            return 1
        full = int(self.file.number("MaximumFractionalValue", 0))
        if full < 1:
            raise ValueError(f"{self.path}: MaximumFractionalValue must be above 0, got {full}")
        return full

    def _partial(self, stored: Pixels) -> int:
        """Count the voxels that lie in a segment in part."""
        if self._type != FRACTIONAL:
            return 0
        return int(np.count_nonzero((stored > 0) & (stored < self._full)))

    def _voxels(self, frame: SliceFile, placed: Placement, mask: Pixels, ct: CtGrid) -> Voxels:
        rows, columns = np.nonzero(mask)
        voxels, outside = placed.flat(np.stack([columns, rows], axis=1), ct)
        if outside:
            raise ValueError(f"{frame.place}: {outside} of its voxels lie outside the CT")
        return voxels


def _joined(number: int, drawn: Mapping[tuple[int, ...], Voxels]) -> Voxels:
    """Join the frames of a segment."""
    parts = [voxels for key, voxels in drawn.items() if key[0] == number]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))


def _segment(item: Dataset) -> Segment:
    """Read a segment's number, name and codes; they may lie in the type or in the region."""
    kinds = list(item.get("SegmentedPropertyTypeCodeSequence") or ())
    regions = list(item.get("AnatomicRegionSequence") or ())
    side = None
    for concept in (*regions, *kinds):
        for keyword in (
            "AnatomicRegionModifierSequence",
            "SegmentedPropertyTypeModifierCodeSequence",
        ):
            side = side or code_in(concept, keyword)
    return Segment(
        int(item.get("SegmentNumber") or 0),
        text_of(item, "SegmentLabel"),
        code_in(item, "SegmentedPropertyTypeCodeSequence"),
        code_in(item, "AnatomicRegionSequence"),
        side,
    )
