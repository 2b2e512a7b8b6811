"""The form of a SEG is what was asked for, or the one that viewers take; the reason is said."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.prediction.dicom.segmentation_form import choose_form


def mask_of(segments, slices, empty=3):
    """Each segment has a voxel in each slice; empty slices follow."""
    mask = np.zeros((slices + empty, 1, segments + 1), np.uint16)
    mask[:slices, 0, 1:] = np.arange(1, segments + 1)
    return mask


@pytest.mark.parametrize(
    ("segments", "slices", "asked", "type", "frames", "why"),
    [
        (4, 100, "auto", "BINARY", 400, "at most 400 frames"),
        (3, 134, "auto", "LABELMAP", 134, "BINARY would have more than 400 frames, which Weasis"),
        (1, 401, "auto", "LABELMAP", 401, "so has this LABELMAP, as 401 slices hold a segment"),
        (3, 134, "binary", "BINARY", 402, "asked for by --seg binary"),
        (2, 2, "labelmap", "LABELMAP", 2, "asked for by --seg labelmap"),
        (0, 2, "auto", "BINARY", 1, "no segment has a voxel: one empty frame"),
        (0, 2, "labelmap", "LABELMAP", 1, "no segment has a voxel: one empty frame"),
    ],
)
def test_form_then_frames_that_hold_something_and_the_reason(
    segments, slices, asked, type, frames, why
):
    record = choose_form(mask_of(segments, slices), asked).record()
    assert (record["type"], record["frames"]) == (type, frames)
    assert record["frames_as_binary"] == max(1, segments * slices)
    assert why in record["why"]
