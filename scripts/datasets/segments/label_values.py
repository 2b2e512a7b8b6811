"""Segments painted into one label map: a value for each class, or for each lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.segments.dicom_object import quiet
from scripts.datasets.segments.gaps import check_slices
from scripts.datasets.segments.segment_file import CtGrid, Segment, SegmentFile


def paint(
    file: SegmentFile,
    values: Mapping[int, Sequence[Segment]],
    ct: CtGrid,
    *,
    last_wins: bool = False,
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Make the label map of a CT from the segments of a file.

    Args:
        file: the file.
        values: label value -> its segments, which are joined.
        ct: the CT.
        last_wins: whether voxels of two values get the higher one; otherwise they are refused.

    Returns:
        (K, J, I) on the CT's grid as stored; and notes on the rules that were applied.

    Raises:
        ValueError, OSError: see :meth:`SegmentFile.draw` and
            :func:`~scripts.datasets.segments.gaps.check_slices`; for voxels of two values.
    """
    every = [segment for own in values.values() for segment in own]
    with quiet():
        drawn = file.draw([segment.number for segment in every], ct)
    label = np.zeros(int(np.prod(ct.shape)), np.uint8)
    notes = list(drawn.notes)
    for value in sorted(values):
        for segment in values[value]:
            voxels = drawn.voxels[segment.number]
            if note := check_slices(str(file.path), segment.name, voxels, ct.shape):
                notes.append(f"{file.path.name}: {note}")
            below = label[voxels]
            covered = sorted(set(np.unique(below).tolist()) - {0, value})
            if covered and not last_wins:
                first = " and ".join(map(str, values[covered[0]]))
                shared = np.count_nonzero((below > 0) & (below != value))
                raise ValueError(
                    f"{file}: segment {segment} shares {shared} voxels with {first}; "
                    "--overlaps last gives them to the class with the higher value"
                )
            if covered:
                notes.append(f"segments overlap; voxels of {segment.name!r} count as its own only")
            label[voxels] = value
    return label.reshape(ct.shape), tuple(notes)
