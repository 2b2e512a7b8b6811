"""DICOM SEG as highdicom writes it, read onto the CT it was drawn on, or refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from scripts.datasets.segments.seg import SegFile
from tests.analytic.phantom import grid_of
from tests.scripts.datasets.segments.written import (
    box,
    ct,
    described,
    grid_in,
    mask_of,
    nodule,
    write_seg,
)


def first_source(frame):
    return frame.DerivationImageSequence[0].SourceImageSequence[0]


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_segments_of_any_type_then_the_masks_voxel_for_voxel(tmp_path, series, kind):
    _, images, grid = series
    file = SegFile.read(write_seg(tmp_path / "a.dcm", images, [nodule(), box()], kind=kind))
    assert [segment.name for segment in file.segments] == ["nodule", "box"]
    drawn = file.draw([1, 2], grid)
    np.testing.assert_array_equal(mask_of(drawn, 1, grid), nodule())
    np.testing.assert_array_equal(mask_of(drawn, 2, grid), box())
    assert drawn.notes == ()


@pytest.mark.parametrize("descending", [False, True], ids=["upwards", "downwards"])
@pytest.mark.parametrize("orientation", ["prone", "feet first", "coronal", "sagittal"])
def test_segment_of_another_orientation_then_in_its_place(tmp_path, orientation, descending):
    grid = grid_of(orientation, spacing=(6.1, 6.3, 6.7), descending=descending)
    images = ct(tmp_path / "ct", grid)
    ascending = grid.reversed() if descending else grid
    file = SegFile.read(write_seg(tmp_path / "a.dcm", images, [ascending.nodule()]))
    found = grid_in(tmp_path / "ct")
    np.testing.assert_array_equal(mask_of(file.draw([1], found), 1, found), ascending.nodule())


def test_frames_in_any_order_and_turned_then_in_their_place(tmp_path, series):
    _, images, grid = series

    def turn(segmentation):  # rows from right to left: the same voxels from the other end
        bits = np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8), bitorder="little")
        count, rows, columns = segmentation.NumberOfFrames, segmentation.Rows, segmentation.Columns
        frames = bits[: count * rows * columns].reshape(count, rows, columns)[::-1, :, ::-1]
        packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
        segmentation.PixelData = packed + bytes(len(packed) % 2)
        groups = list(segmentation.PerFrameFunctionalGroupsSequence)[::-1]
        for group in groups:
            place = group.PlanePositionSequence[0]
            x, y, z = map(float, place.ImagePositionPatient)
            step = float(images[0].PixelSpacing[1])
            place.ImagePositionPatient = [round(x + (columns - 1) * step, 6), y, z]
        segmentation.PerFrameFunctionalGroupsSequence = groups
        shared = segmentation.SharedFunctionalGroupsSequence[0]
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]

    file = SegFile.read(write_seg(tmp_path / "a.dcm", images, [nodule()], change=turn))
    np.testing.assert_array_equal(mask_of(file.draw([1], grid), 1, grid), nodule())


def test_fractional_when_voxels_are_partly_inside_then_half_counts_and_is_noted(tmp_path, series):
    _, images, grid = series
    share = nodule() * 1.0
    partly = np.argwhere(nodule())[:3]
    share[tuple(partly.T)] = (0.2, 0.49, 0.6)
    path = write_seg(tmp_path / "a.dcm", images, [share], kind="FRACTIONAL")
    drawn = SegFile.read(path).draw([1], grid)
    np.testing.assert_array_equal(mask_of(drawn, 1, grid), share >= 0.5)
    assert drawn.notes[0].startswith("a.dcm: 3 voxels are partly segmented")


def test_codes_of_segments_then_read_with_side_and_region(tmp_path, series):
    side = [codes.SCT.Left]
    kidney = described(1, "l", codes.SCT.Kidney)
    kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
        *described(2, "", codes.SCT.Left).SegmentedPropertyTypeCodeSequence
    ]
    lesion = described(2, "t", codes.SCT.Neoplasm, anatomic_regions=[codes.SCT.Liver])
    path = write_seg(
        tmp_path / "a.dcm", series[1], [nodule(), box()], descriptions=[kidney, lesion]
    )
    one, other = SegFile.read(path).segments
    assert (one.type, one.side, one.region) == (codes.SCT.Kidney, side[0], None)
    assert (other.type, other.side, other.region) == (codes.SCT.Neoplasm, None, codes.SCT.Liver)


def test_segment_without_a_frame_then_empty(tmp_path, series):
    _, images, grid = series
    path = write_seg(tmp_path / "a.dcm", images, [nodule(), np.zeros_like(nodule())])
    assert not len(SegFile.read(path).draw([2], grid).voxels[2])


def move(axis, mm):
    def change(segmentation):
        for group in segmentation.PerFrameFunctionalGroupsSequence:
            place = group.PlanePositionSequence[0]
            moved = np.array(place.ImagePositionPatient, float)
            moved[axis] += mm
            place.ImagePositionPatient = moved.round(6).tolist()

    return change


def set_shared(group, **elements):
    def change(segmentation):
        shared = segmentation.SharedFunctionalGroupsSequence[0]
        for keyword, value in elements.items():
            setattr(shared[group][0], keyword, value)

    return change


def set_top(**elements):
    def change(segmentation):
        for keyword, value in elements.items():
            setattr(segmentation, keyword, value)

    return change


def other_series(segmentation):
    segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"


def no_reference(segmentation):
    del segmentation.ReferencedSeriesSequence
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence


def other_instances(segmentation):
    for item in segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence:
        item.ReferencedSOPInstanceUID += ".9"
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        first_source(group).ReferencedSOPInstanceUID += ".9"


def swap_sources(segmentation):
    one, other = segmentation.PerFrameFunctionalGroupsSequence[:2]
    one, other = first_source(one), first_source(other)
    uids = one.ReferencedSOPInstanceUID, other.ReferencedSOPInstanceUID
    other.ReferencedSOPInstanceUID, one.ReferencedSOPInstanceUID = uids


def other_source(segmentation):
    first_source(segmentation.PerFrameFunctionalGroupsSequence[0]).ReferencedSOPInstanceUID = "1.2"


def frame_twice(segmentation):
    one, other = segmentation.PerFrameFunctionalGroupsSequence[:2]
    other.PlanePositionSequence = copy.deepcopy(one.PlanePositionSequence)
    first_source(other).ReferencedSOPInstanceUID = first_source(one).ReferencedSOPInstanceUID


REFUSED = {
    "another series": (other_series, r"was drawn on series 1\.2\.3, the CT in .* is series"),
    "no series": (no_reference, "does not say on which series it was drawn"),
    "other instances": (other_instances, "none of the .* images that it refers to is in"),
    "another frame": (
        set_top(FrameOfReferenceUID="1.2.3"), r"is in frame of reference 1\.2\.3, the CT in",
    ),
    "half a voxel aside": (move(0, 2.0), r"frame 1: its voxels lie up to 2\.000 mm beside"),
    "between slices": (move(2, 2.35), r"its voxels lie up to 2\.350 mm beside"),
    "a slice further": (move(2, 4.7), r"lies on slice \d+ of the CT, but refers to slice \d+"),
    "sources swapped": (swap_sources, r"lies on slice \d+ of the CT, but refers to slice"),
    "spacing": (
        set_shared("PixelMeasuresSequence", PixelSpacing=[2.1, 2.0]),
        r"its voxels are 2 x 2\.1 mm apart, the CT's 4\.1 x 4\.3 x 4\.7 mm",
    ),
    "thick planes": (
        set_shared("PixelMeasuresSequence", SpacingBetweenSlices=9.4),
        r"its planes are 9\.4 mm apart, those of the CT 4\.7 mm",
    ),
    "oblique": (
        set_shared(
            "PlaneOrientationSequence", ImageOrientationPatient=[0.8, 0.6, 0, -0.6, 0.8, 0]
        ),
        "its axes are turned against those of the CT",
    ),
    "beyond the CT": (move(0, 41.0), r"\d+ of its voxels lie outside the CT"),
    "source elsewhere": (other_source, "frame 1: was drawn on an image that is not in the CT"),
    "a plane twice": (frame_twice, "segment 1 has two frames of one plane"),
    "no type": (set_top(SegmentationType="BLOB"), "SegmentationType must be BINARY, FRACTIONAL"),
    "no position": (
        lambda one: one.pop("PerFrameFunctionalGroupsSequence"), "its frames have no positions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_segmentation_that_does_not_fit_the_ct_then_refused(tmp_path, series, case):
    change, reason = REFUSED[case]
    mask = np.roll(nodule(), 3, axis=2) if case == "beyond the CT" else nodule()
    path = write_seg(tmp_path / "a.dcm", series[1], [mask], change=change)
    with pytest.raises(ValueError, match=rf"a\.dcm.*{reason}"):
        SegFile.read(path).draw([1], series[2])


def test_pixels_cut_short_then_refused(tmp_path, series):
    path = write_seg(tmp_path / "a.dcm", series[1], [nodule()])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"a\.dcm.*truncated"):
        SegFile.read(path).draw([1], series[2])


def test_labelmap_with_a_value_that_is_not_described_then_refused(tmp_path, series):
    def drop(segmentation):
        del segmentation.SegmentSequence[-1]

    masks = [nodule(), box()]
    path = write_seg(tmp_path / "a.dcm", series[1], masks, kind="LABELMAP", change=drop)
    with pytest.raises(ValueError, match="holds segment 2, which SegmentSequence does not"):
        SegFile.read(path).draw([1], series[2])
