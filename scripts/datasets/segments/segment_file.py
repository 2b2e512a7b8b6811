"""What all files of named segments have in common: the segments, the CT they belong to, voxels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from scripts.running.reasons import listed
from scripts.volumes.geometry import Floats

if TYPE_CHECKING:
    from scripts.volumes.dicom.series_volume import Series

Voxels = NDArray[np.int64]
"""Flat indices into an array (K, J, I), ascending, each once."""


@dataclass(frozen=True)
class Segment:
    """One named structure of a file: a segment of SEG or 3D Slicer, or an ROI of RTSTRUCT.

    Args:
        number: by which the file refers to it.
        name: SegmentLabel, ROIName, or 3D Slicer's name.
        type: code of what it is (segmented property type), with the region and side of a lesion or
            a paired organ; None if the file has no code.
        region: code of the organ that it lies in.
        side: code of left or right.
    """

    number: int
    name: str
    type: Code | None = None
    region: Code | None = None
    side: Code | None = None

    def __str__(self) -> str:
        """The name and the code, for messages."""
        if self.type is None:
            return repr(self.name)
        return f"{self.name!r} ({self.type.scheme_designator}:{self.type.value})"


@dataclass(frozen=True)
class CtGrid:
    """The CT that a file of segments must belong to.

    Args:
        name: of the folder or file, for errors.
        shape: slices, rows and columns (K, J, I) as stored.
        affine_lps: (4, 4), 0-based index (i, j, k) to LPS mm.
        series_uid: SeriesInstanceUID; empty if it is not DICOM.
        frame_uid: FrameOfReferenceUID; empty if it has none.
        slice_of: SOPInstanceUID -> k; of a multi-frame file its UID -> -1.
    """

    name: str
    shape: tuple[int, int, int]
    affine_lps: Floats
    series_uid: str = ""
    frame_uid: str = ""
    slice_of: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_series(cls, series: Series) -> CtGrid:
        """Describe a DICOM series that forms a regular grid."""
        first = series.slices[0]
        return cls(
            series.place,
            (len(series.slices), *first.shape),
            series.affine_lps,
            str(first.header.get("SeriesInstanceUID") or ""),
            str(first.header.get("FrameOfReferenceUID") or ""),
            {
                str(each.header.get("SOPInstanceUID") or ""): -1 if each.frame else k
                for k, each in enumerate(series.slices)
            },
        )


@dataclass(frozen=True)
class Drawn:
    """The voxels of some segments of a file.

    Args:
        voxels: number of a segment -> its voxels; none for a segment that was not found.
        notes: rules that were applied, one line each.
    """

    voxels: Mapping[int, Voxels]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentFile(ABC):
    """A file of named segments, its header read.

    Args:
        path: the file.
        segments: all that it names, in its order.
        title: how the file calls itself (series description, label of the structure set).
        series_uids: SeriesInstanceUIDs that it was drawn on; empty if it does not say.

    Class attributes:
        kind: what it is, for messages.
        dicom: whether it is a DICOM object.
        empty_is_absent: whether a segment without voxels says that the CT shows nothing of it;
            otherwise it was not drawn yet.
    """

    path: Path
    segments: Sequence[Segment]
    title: str = ""
    series_uids: frozenset[str] = frozenset()

    kind: ClassVar[str]
    dicom: ClassVar[bool] = True
    empty_is_absent: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a file in which one number means several segments.

        Raises:
            ValueError: naming the file and the number.
        """
        numbers = Counter(segment.number for segment in self.segments)
        if twice := [number for number, count in numbers.items() if count > 1]:
            raise ValueError(f"{self.path}: describes several segments of the number {twice[0]}")

    @abstractmethod
    def draw(self, numbers: Sequence[int], ct: CtGrid) -> Drawn:
        """Read the voxels of some segments on the grid of a CT.

        Args:
            numbers: of the segments.
            ct: the CT, whose grid must contain the segments exactly.

        Raises:
            ValueError, OSError: naming the file and the reason: of another CT, on another grid, or
                damaged.
        """

    def listing(self) -> str:
        """Name the segments for a message."""
        return listed(self.segments, most=12) or "no segments"

    def __str__(self) -> str:
        """The file, its kind and title, for messages."""
        title = f" {self.title!r}" if self.title else ""
        return f"{self.path.name} ({self.kind}{title})"
