"""What messages say of files of segments, and the CT as they see it."""

from __future__ import annotations

from pathlib import Path

from pydicom.sr.codedict import codes

from scripts.datasets.segments.segment_file import Segment
from scripts.datasets.segments.slicer import SlicerFile
from tests.scripts.datasets.segments.written import GRID


def test_ct_of_a_series_then_its_slices_by_uid_in_ascending_order(series):
    _, images, ct = series
    assert ct.shape == GRID.shape
    assert [ct.slice_of[image.SOPInstanceUID] for image in images] == list(range(len(images)))
    assert (ct.series_uid, ct.frame_uid) == (
        images[0].SeriesInstanceUID,
        "1.2.826.0.1.3680043.8.498.13.2",
    )


def test_listing_then_names_and_codes_and_no_more_than_a_line_holds():
    segments = [Segment(0, "liver", codes.SCT.Liver)] + [Segment(n, f"s{n}") for n in range(1, 20)]
    listing = SlicerFile(Path("a.seg.nrrd"), segments, places={}).listing()
    assert listing.startswith("'liver' (SCT:10200004), 's1', ")
    assert listing.endswith("'s11' and 8 more")
    assert (
        str(SlicerFile(Path("b/a.seg.nrrd"), [], places={}))
        == "a.seg.nrrd (3D Slicer segmentation)"
    )
