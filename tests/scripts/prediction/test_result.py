"""A prediction refuses parts that do not belong together."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.prediction.result import Prediction, Segment

LIVER = Segment(1, "liver", "liver")


def predicted(mask, **others):
    hu = np.zeros((2, 3, 4), np.int16)
    return Prediction(hu, mask, np.diag([0.5, 0.6, 2.0, 1.0]), (LIVER,), "scan", **others)


def test_spacing_then_that_of_the_affine():
    assert predicted(np.zeros((2, 3, 4), np.uint8)).spacing_mm.tolist() == [0.5, 0.6, 2.0]


@pytest.mark.parametrize(
    ("mask", "others", "said"),
    [
        (np.zeros((2, 3, 5), np.uint8), {}, "share one 3D shape"),
        (np.full((2, 3, 4), 7, np.uint8), {}, r"values \[7\] have no segment"),
        (np.full((2, 3, 4), 255, np.uint8), {}, r"values \[255\] have no segment"),
        (np.full((2, 3, 4), -1, np.int16), {}, r"values \[-1\] have no segment"),
        (np.full((2, 3, 4), 0.5, np.float32), {}, r"values \[0.5\] have no segment"),
        (np.zeros((2, 3, 4), np.uint8), {"dicom_slices": (None,)}, "1 DICOM slices for 2"),
        (np.zeros((2, 3, 4), np.uint8), {"lungs": np.zeros((2, 3), bool)}, "share one 3D shape"),
    ],
)
def test_parts_that_do_not_fit_are_refused(mask, others, said):
    with pytest.raises(ValueError, match=said):
        predicted(mask, **others)
