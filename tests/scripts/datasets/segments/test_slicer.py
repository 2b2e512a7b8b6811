"""3D Slicer's files: cropped, in layers, and of older versions."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from scripts.datasets.segments.segment_file import CtGrid
from scripts.datasets.segments.slicer import SlicerFile
from scripts.volumes.geometry import index_to_world
from tests.scripts.datasets.segments.written import GRID, box, mask_of, nodule, write_slicer

CT = CtGrid("ct.nrrd", GRID.shape, GRID.affine)
TWO = {
    "Segment0_ID": "Segment_1", "Segment0_Name": "GTV \\n 1", "Segment0_LabelValue": "1",
    "Segment0_Layer": "0",
    "Segment1_ID": "Segment_2", "Segment1_Name": "box", "Segment1_LabelValue": "2",
    "Segment1_Layer": "0", "Segmentation_MasterRepresentation": "Binary labelmap",
}  # fmt: skip


def two_values():
    return np.where(nodule(), 1, np.where(box(), 2, 0))


def cropped(array):
    """The part that holds something, and its affine."""
    where = np.argwhere(array if array.ndim == 3 else array.any(axis=-1))
    low, high = where.min(axis=0), where.max(axis=0) + 1
    affine = GRID.affine.copy()
    affine[:3, 3] = index_to_world(low[::-1], GRID.affine)
    return array[tuple(map(slice, low, high))], affine


@pytest.mark.parametrize("crop", [False, True], ids=["whole", "cropped"])
def test_segments_in_one_layer_then_each_by_its_value(tmp_path, crop):
    array, affine = cropped(two_values()) if crop else (two_values(), GRID.affine)
    file = SlicerFile.read(write_slicer(tmp_path / "a.seg.nrrd", array, affine, TWO))
    assert [segment.name for segment in file.segments] == ["GTV \n 1", "box"]
    drawn = file.draw([0, 1], CT)
    np.testing.assert_array_equal(mask_of(drawn, 0, CT), nodule())
    np.testing.assert_array_equal(mask_of(drawn, 1, CT), box())


@pytest.mark.parametrize("old", [False, True], ids=["layers named", "before 4.11"])
def test_segments_that_overlap_in_layers_then_both_whole(tmp_path, old):
    larger = nodule() | np.roll(nodule(), 1, axis=2)
    array, affine = cropped(np.stack([nodule(), larger], axis=-1))
    keys = {**TWO, "Segment1_Layer": "1", "Segment1_LabelValue": "1"}
    if old:
        keys = {key: keys[key] for key in keys if not key.endswith(("Layer", "Value"))}
    path = write_slicer(tmp_path / "a.seg.nrrd", array, affine, keys, layered=True)
    drawn = SlicerFile.read(path).draw([0, 1], CT)
    np.testing.assert_array_equal(mask_of(drawn, 0, CT), nodule())
    np.testing.assert_array_equal(mask_of(drawn, 1, CT), larger)


def test_terminology_then_the_codes(tmp_path):
    entry = "~SCT^123037004^x~SCT^64033007^Kidney~SCT^7771000^Left~~^^~^^"
    keys = {
        **TWO,
        "Segment0_Tags": f"Segmentation.Status:done|Segmentation.TerminologyEntry:{entry}|",
    }
    path = write_slicer(tmp_path / "a.seg.nrrd", two_values(), GRID.affine, keys)
    kidney, other = SlicerFile.read(path).segments
    assert (kidney.type, kidney.region, kidney.side) == (codes.SCT.Kidney, None, codes.SCT.Left)
    assert other.type is None


def test_file_without_names_then_a_plain_label_map(tmp_path):
    path = write_slicer(tmp_path / "a.seg.nrrd", two_values(), GRID.affine, {})
    assert SlicerFile.read(path) is None


def shifted(mm):
    affine = GRID.affine.copy()
    affine[0, 3] += mm
    return affine


@pytest.mark.parametrize(
    ("affine", "keys", "reason"),
    [
        (shifted(2), TWO, r"its voxels lie up to 2\.000 mm beside"),
        (GRID.affine @ np.diag([1, 1, 0.5, 1]), TWO, "its voxels are .* mm apart, the CT's"),
        (shifted(-20.5), TWO, r"\d+ voxels of a segment lie outside the CT"),
        (GRID.affine, {**TWO, "Segment1_LabelValue": "3"}, "layer 0 holds the value 2, which no"),
        (GRID.affine, {**TWO, "Segment1_Layer": "1"}, "must have a layer from 0 to 0 and a value"),
    ],
    ids=["shifted", "finer", "outside", "unknown value", "unknown layer"],
)
def test_file_that_does_not_fit_then_refused(tmp_path, affine, keys, reason):
    path = write_slicer(tmp_path / "a.seg.nrrd", two_values(), affine, keys)
    with pytest.raises(ValueError, match=rf"a\.seg\.nrrd: .*{reason}"):
        SlicerFile.read(path).draw([0, 1], CT)
