"""Whether a DICOM SEG is written as BINARY or as LABELMAP, and with how many frames.

BINARY has a frame for each slice of each segment; every reader of SEG supports it. LABELMAP (DICOM
Supplement 243) has one frame for each slice, whose pixels are the numbers of segments; only newer
readers know it. As segments of a mask never overlap, both hold the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

AUTO, BINARY, LABELMAP = "auto", "binary", "labelmap"
FORMS = (LABELMAP, BINARY, AUTO)
MOST_BINARY_FRAMES = 400  # Weasis refuses more


@dataclass(frozen=True)
class SegmentationForm:
    """The form of a SEG, and the reason for it.

    Attributes:
        labelmap: whether it is LABELMAP rather than BINARY.
        frames: of the object.
        binary_frames: that BINARY has, or would have.
        why: the reason, for the manifest.
    """

    labelmap: bool
    frames: int
    binary_frames: int
    why: str

    @property
    def type(self) -> str:
        """DICOM's SegmentationType."""
        return (LABELMAP if self.labelmap else BINARY).upper()

    def record(self) -> dict[str, Any]:
        """Return the entry of the manifest."""
        return {
            "type": self.type,
            "frames": self.frames,
            "frames_as_binary": self.binary_frames,
            "why": self.why,
        }


def choose_form(mask: NDArray[Any], asked: str = AUTO) -> SegmentationForm:
    """Choose the form of a SEG.

    Frames without a voxel are left out. A mask without a voxel has one empty frame, as an object
    without pixels is not allowed.

    Args:
        mask: (slices, rows, columns), numbers of segments, 0 background.
        asked: one of :data:`FORMS`; auto takes LABELMAP where BINARY has more than
            :data:`MOST_BINARY_FRAMES` frames.

    Example:
        >>> choose_form(np.array([[[1, 2]], [[0, 2]], [[0, 0]]])).record()["frames"]
        3
        >>> choose_form(np.array([[[1, 2]], [[0, 2]], [[0, 0]]]), LABELMAP).frames
        2
    """
    segments_of = [np.count_nonzero(np.bincount(plane.ravel())[1:]) for plane in mask]
    binary, slices = sum(segments_of), int(np.count_nonzero(segments_of))
    if not slices:
        why = "no segment has a voxel: one empty frame"
        return SegmentationForm(asked == LABELMAP, 1, 1, why)
    if asked != AUTO:
        labelmap, why = asked == LABELMAP, f"asked for by --seg {asked}"
    elif binary <= MOST_BINARY_FRAMES:
        labelmap, why = False, f"at most {MOST_BINARY_FRAMES} frames"
    else:
        labelmap = True
        why = f"BINARY would have more than {MOST_BINARY_FRAMES} frames, which Weasis refuses"
    frames = slices if labelmap else binary
    if asked == AUTO and frames > MOST_BINARY_FRAMES:
        why += f"; so has this LABELMAP, as {slices} slices hold a segment"
    return SegmentationForm(labelmap, frames, binary, why)
