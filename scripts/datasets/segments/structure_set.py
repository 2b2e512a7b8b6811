"""RT Structure Sets (RTSTRUCT): closed contours on the slices of a CT (DICOM PS3.3, A.19, C.8.8.6).

A contour must lie on a slice of the CT; which voxels it encloses, :mod:`.polygons` says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydicom.dataset import Dataset

from scripts.datasets.segments.dicom_object import (
    RTSTRUCT,
    check_reference,
    code_in,
    instances_in,
    items_below,
    read_object,
    series_in,
    text_of,
    title_of,
)
from scripts.datasets.segments.polygons import fill
from scripts.datasets.segments.segment_file import CtGrid, Drawn, Segment, SegmentFile, Voxels
from scripts.volumes.geometry import Floats, spacing_of, world_to_index

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
OFF_SLICE = 0.1  # of the distance of slices: positions are often rounded to 0.1 mm
_FRAMES = "ReferencedFrameOfReferenceSequence"
_SERIES = (_FRAMES, "RTReferencedStudySequence", "RTReferencedSeriesSequence")


@dataclass(frozen=True)
class StructureSetFile(SegmentFile):
    """An RTSTRUCT with its header.

    Args:
        header: the whole object.
    """

    kind: ClassVar[str] = RTSTRUCT
    header: Dataset = field(kw_only=True, repr=False)

    @classmethod
    def read(cls, path: Path) -> StructureSetFile:
        """Read the object; its contours are decoded when they are drawn.

        Raises:
            ValueError, OSError: naming a file that is damaged.
        """
        header = read_object(path).header
        codes = {
            _number(item, "ReferencedROINumber"): item
            for item in header.get("RTROIObservationsSequence") or ()
        }
        segments = [
            Segment(
                number,
                text_of(item, "ROIName"),
                code_in(codes.get(number, Dataset()), "RTROIIdentificationCodeSequence"),
            )
            for item in header.get("StructureSetROISequence") or ()
            for number in [_number(item, "ROINumber")]
        ]
        series = series_in(items_below(header, *_SERIES))
        return cls(path, segments, title_of(header), series, header=header)

    def draw(self, numbers: Sequence[int], ct: CtGrid) -> Drawn:
        """See :meth:`~scripts.datasets.segments.segment_file.SegmentFile.draw`."""
        images = items_below(self.header, *_SERIES, "ContourImageSequence")
        check_reference(
            str(self.path), ct, self.series_uids, instances_in(images), self._frames_of(numbers)
        )
        self._check_one_series(numbers, ct)
        notes: list[str] = []
        voxels = {number: self._voxels(number, ct, notes) for number in numbers}
        return Drawn(voxels, tuple(notes))

    def _frames_of(self, numbers: Sequence[int]) -> set[str]:
        """Return the frames of reference of some ROIs."""
        rois = [
            item
            for item in self.header.get("StructureSetROISequence") or ()
            if _number(item, "ROINumber") in numbers
        ]
        return {text_of(item, "ReferencedFrameOfReferenceUID") for item in rois} - {""}

    def _check_one_series(self, numbers: Sequence[int], ct: CtGrid) -> None:
        """Refuse contours that may be of another series in the CT's frame, as phases of a 4D CT."""
        frames = self.header.get(_FRAMES) or ()
        own = [one for one in frames if text_of(one, "FrameOfReferenceUID") in ("", ct.frame_uid)]
        series = series_in(item for one in own for item in items_below(one, *_SERIES[1:]))
        contours = (contour for number in numbers for contour in self._contours(number))
        if len(series) > 1 and not all(map(_images_of, contours)):
            raise ValueError(
                f"{self.path}: names {len(series)} series in one frame of reference, and contours "
                "without an image; on which series they were drawn is not known"
            )

    def _voxels(self, number: int, ct: CtGrid, notes: list[str]) -> Voxels:
        """Fill the contours of an ROI, slice by slice."""
        name = next(segment.name for segment in self.segments if segment.number == number)
        place = f"{self.path}: ROI {name!r}"
        polygons: dict[int, list[Floats]] = defaultdict(list)
        for contour in self._contours(number):
            try:
                k, polygon = _on_slice(contour, ct)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
            polygons[k].append(polygon)
        _, rows, columns = ct.shape
        flat: list[Voxels] = [np.zeros(0, np.int64)]
        empty = 0
        for k in sorted(polygons):
            try:
                filled = fill(polygons[k], (rows, columns))
            except ValueError as error:
                raise ValueError(f"{place}: slice {k}: {error}") from error
            flat.append(np.flatnonzero(filled.mask) + k * rows * columns)
            empty += filled.without_voxel
        drawn = np.concatenate(flat)
        if polygons and not len(drawn):
            raise ValueError(f"{place}: its contours enclose no centre of a voxel")
        if empty:
            notes.append(
                f"{self.path.name}: {name!r}: {empty} contours enclose no centre of a voxel"
            )
        return drawn

    def _contours(self, number: int) -> Iterator[Dataset]:
        for item in self.header.get("ROIContourSequence") or ():
            if _number(item, "ReferencedROINumber") == number:
                yield from item.get("ContourSequence") or ()


def _number(item: Dataset, keyword: str) -> int:
    value = item.get(keyword)
    return -1 if value is None else int(value)


def _on_slice(contour: Dataset, ct: CtGrid) -> tuple[int, Floats]:
    """Return the slice that a contour lies on, and (n, 2): x, y index of its vertices."""
    kind = text_of(contour, "ContourGeometricType")
    if kind not in CLOSED:
        raise ValueError(
            f"holds a contour of type {kind or 'none'}; only {CLOSED[0]} has an inside"
        )
    index = world_to_index(_points(contour), ct.affine_lps)
    k = int(np.rint(index[0, 2]))
    away = float(np.abs(index[:, 2] - k).max())
    step_mm = float(spacing_of(ct.affine_lps)[2])
    if away > OFF_SLICE:
        span_mm = float(np.ptp(index[:, 2])) * step_mm
        why = f"{away * step_mm:.3f} mm from the nearest slice (slices every {step_mm:g} mm)"
        if span_mm > OFF_SLICE * step_mm:
            why = f"across slices, over {span_mm:.2f} mm"
        raise ValueError(f"a contour lies {why}; contours must lie on the CT's own slices")
    slices, rows, columns = ct.shape
    beyond = np.abs(index[:, :2] - (np.array([columns, rows]) - 1) / 2) > np.array([columns, rows])
    if not 0 <= k < slices or beyond.any():
        raise ValueError("a contour lies outside the CT")
    _check_image(contour, k, ct)
    return k, index[:, :2]


def _points(contour: Dataset) -> Floats:
    """Return (n, 3): the vertices in LPS mm, from the stored text, as pydicom takes seconds."""
    element = contour.get_item("ContourData")
    value = None if element is None else element.value
    words = value.split(b"\\") if isinstance(value, bytes) else value or ()
    try:
        numbers = np.array(list(words), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"a contour must have numbers as positions: {error}") from error
    if not len(numbers) or len(numbers) % 3 or not np.isfinite(numbers).all():
        raise ValueError(
            f"a contour must have finite x, y and z of points, got {len(numbers)} numbers"
        )
    points = numbers.reshape(-1, 3)
    closed = len(points) > 1 and (points[0] == points[-1]).all()
    return points[:-1] if closed else points


def _images_of(contour: Dataset) -> frozenset[str]:
    return instances_in(items_below(contour, "ContourImageSequence"))


def _check_image(contour: Dataset, k: int, ct: CtGrid) -> None:
    """Refuse a contour that refers to another slice than the one it lies on."""
    images = _images_of(contour)
    if not images:
        return
    slices = {ct.slice_of.get(image) for image in images}
    if slices == {None}:
        raise ValueError("a contour refers to an image that is not in the CT")
    if not slices & {k, -1}:
        raise ValueError(f"a contour lies on slice {k} of the CT, but refers to slice {slices}")
