"""RTSTRUCT with contours of the ellipsoid itself, read onto the CT it was drawn on, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.datasets.segments.structure_set import StructureSetFile
from scripts.volumes.geometry import index_to_world
from tests.analytic.phantom import grid_of
from tests.scripts.datasets.segments.written import (
    GRID,
    ct,
    grid_in,
    mask_of,
    nodule,
    nodule_contours,
    of,
    write_rtstruct,
)


def on_slice(corners, k, off=0.0):
    """Corners (x, y index) on slice k of GRID, in mm."""
    index = np.array([(x, y, k + off) for x, y in corners])
    return index_to_world(index, GRID.affine)


def square(low, high):
    return [(low, low), (high, low), (high, high), (low, high)]


def draw(path, ct_grid, number=4):
    drawn = StructureSetFile.read(path).draw([number], ct_grid)
    return mask_of(drawn, number, ct_grid), drawn.notes


def block(low, high, k=3):
    mask = np.zeros(GRID.shape, bool)
    mask[k, low:high, low:high] = True
    return mask


@pytest.mark.parametrize("descending", [False, True], ids=["upwards", "downwards"])
@pytest.mark.parametrize("orientation", ["axial", "prone", "feet first", "coronal", "sagittal"])
def test_contours_of_an_ellipsoid_then_the_voxels_inside_it(tmp_path, orientation, descending):
    grid = grid_of(orientation, spacing=(6.1, 6.3, 6.7), descending=descending)
    images = ct(tmp_path / "ct", grid)
    ascending = grid.reversed() if descending else grid
    contours = nodule_contours(ascending)
    path = write_rtstruct(tmp_path / "a.dcm", images, {"BODY": [], "GTV": contours})
    mask, notes = draw(path, grid_in(tmp_path / "ct"), number=5)
    np.testing.assert_array_equal(mask, ascending.nodule())
    assert notes == ()


def test_contours_without_reference_to_an_image_then_placed_by_position(tmp_path, series):
    contours = [(points, None) for points, _ in nodule_contours(GRID)[::-1]]
    path = write_rtstruct(tmp_path / "a.dcm", series[1], {"GTV": contours})
    np.testing.assert_array_equal(draw(path, series[2])[0], nodule())


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_contours_inside_each_other_then_a_hole_and_an_island(tmp_path, series, kind):
    edges = [(2.5, 12.5), (4.5, 10.5), (6.5, 8.5)]
    contours = [(on_slice(square(*edge), 3), 3) for edge in edges]
    contours.append((on_slice([(20.5, 2.5), (22.5, 2.5), (22.5, 3.5), (20.5, 3.5)], 3), 3))
    path = write_rtstruct(tmp_path / "a.dcm", series[1], {"GTV": contours}, kind=kind)
    wanted = block(3, 13) & ~block(5, 11) | block(7, 9)
    wanted[3, 3, 21:23] = True
    np.testing.assert_array_equal(draw(path, series[2])[0], wanted)


def test_keyhole_then_the_hole_stays_open(tmp_path, series):
    outer, inner = square(2.5, 12.5), square(4.5, 10.5)
    corners = [*outer[:3], outer[3], outer[0], inner[0], inner[3], *inner[2:0:-1], inner[0]]
    path = write_rtstruct(tmp_path / "a.dcm", series[1], {"GTV": [(on_slice(corners, 3), 3)]})
    np.testing.assert_array_equal(draw(path, series[2])[0], block(3, 13) & ~block(5, 11))


def test_contours_through_the_centres_of_border_voxels_then_these_belong_to_it(tmp_path, series):
    contours = [(on_slice(square(3, 12), 3), 3), (on_slice([(20, 20)], 3), 3)]
    path = write_rtstruct(tmp_path / "a.dcm", series[1], {"GTV": contours})
    wanted = block(3, 13)
    wanted[3, 20, 20] = True
    np.testing.assert_array_equal(draw(path, series[2])[0], wanted)


def test_roi_without_contours_then_empty(tmp_path, series):
    path = write_rtstruct(tmp_path / "a.dcm", series[1], {"GTV": []})
    assert not draw(path, series[2])[0].any()


def test_contour_around_no_centre_beside_others_then_noted(tmp_path, series):
    contours = [(on_slice(square(3.2, 3.8), 3), 3), (on_slice(square(4.5, 8.5), 3), 3)]
    path = write_rtstruct(tmp_path / "a.dcm", series[1], {"GTV": contours})
    mask, notes = draw(path, series[2])
    np.testing.assert_array_equal(mask, block(5, 9))
    assert notes == ("a.dcm: 'GTV': 1 contours enclose no centre of a voxel",)


def other_frame(data):
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"


def test_two_rois_in_two_frames_of_reference_then_refused(tmp_path, series):
    contours = [(on_slice(SQUARE, 3), None)]
    rois = {"GTV": contours, "PTV": contours}
    path = write_rtstruct(tmp_path / "a.dcm", series[1], rois, change=other_frame)
    with pytest.raises(ValueError, match=r"a\.dcm: is in frame of reference 1\.2\.3, the CT in"):
        StructureSetFile.read(path).draw([4, 5], series[2])


@pytest.mark.parametrize("image", [3, None])
def test_two_series_in_one_frame_then_contours_must_name_their_image(tmp_path, series, image):
    def another(data):
        study = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        study.RTReferencedSeriesSequence.append(of(SeriesInstanceUID="1.2.3"))

    rois = {"GTV": [(on_slice(SQUARE, 3), image)]}
    path = write_rtstruct(tmp_path / "a.dcm", series[1], rois, change=another)
    if image is not None:
        np.testing.assert_array_equal(draw(path, series[2])[0], block(3, 7))
        return
    with pytest.raises(ValueError, match=r"a\.dcm: names 2 series in one frame of reference, and"):
        draw(path, series[2])


def test_rois_of_one_number_then_refused(tmp_path, series):
    def same(data):
        data.StructureSetROISequence[1].ROINumber = 4

    path = write_rtstruct(tmp_path / "a.dcm", series[1], {"GTV": [], "PTV": []}, change=same)
    with pytest.raises(ValueError, match=r"a\.dcm: describes several segments of the number 4"):
        StructureSetFile.read(path)


def series_item(data):
    frame = data.ReferencedFrameOfReferenceSequence[0]
    return frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]


def other_series(data):
    series_item(data).SeriesInstanceUID = "1.2.3"


def no_series(data):
    del data.ReferencedFrameOfReferenceSequence


def other_image(data):
    for roi in data.ROIContourSequence:
        for contour in roi.ContourSequence:
            contour.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def damaged(data):
    data.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2"]


SQUARE = square(2.5, 6.5)
REFUSED = {
    "another series": (None, other_series, r"was drawn on series 1\.2\.3"),
    "no series": (None, no_series, "does not say on which series"),
    "another frame": (None, other_frame, r"is in frame of reference 1\.2\.3"),
    "another image": (None, other_image, "refers to an image that is not in the CT"),
    "another slice": (
        [(on_slice(SQUARE, 4), 3)], None, "lies on slice 4 of the CT, but refers to slice",
    ),
    "between slices": (
        [(on_slice(SQUARE, 3, off=0.5), None)], None,
        r"lies 2\.350 mm from the nearest slice \(slices every 4\.7 mm\)",
    ),
    "across slices": (
        [(index_to_world([(3, y, k) for y, k in SQUARE], GRID.affine), None)], None,
        "a contour lies across slices",
    ),
    "above the CT": ([(on_slice(SQUARE, 100), None)], None, "lies outside the CT"),
    "beside the CT": ([(on_slice(square(200, 220), 3), None)], None, "lies outside the CT"),
    "crossing": (
        [(on_slice(square(2.5, 6.5), 3), 3), (on_slice(square(4.5, 8.5), 3), 3)], None,
        "slice 3: two contours overlap in 4 voxels, and neither lies inside the other",
    ),
    "no voxel": (
        [(on_slice(square(3.2, 3.8), 3), 3)], None, "its contours enclose no centre of a voxel",
    ),
    "numbers": (None, damaged, "must have finite x, y and z of points, got 2 numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_structure_that_does_not_fit_the_ct_then_refused(tmp_path, series, case):
    contours, change, reason = REFUSED[case]
    contours = contours or [(on_slice(SQUARE, 3), 3)]
    path = write_rtstruct(tmp_path / "a.dcm", series[1], {"GTV": contours}, change=change)
    with pytest.raises(ValueError, match=rf"a\.dcm.*{reason}"):
        draw(path, series[2])


@pytest.mark.parametrize("kind", ["POINT", "OPEN_PLANAR"])
def test_contour_that_is_not_closed_then_refused(tmp_path, series, kind):
    contours = [(on_slice(SQUARE, 3), 3)]
    path = write_rtstruct(tmp_path / "a.dcm", series[1], {"GTV": contours}, kind=kind)
    with pytest.raises(ValueError, match=f"'GTV': holds a contour of type {kind}"):
        draw(path, series[2])
