import numpy as np
import pytest

from scripts.datasets.datalist import load_datalist
from scripts.unsupervised.ct_stacks import CTStack, read_stack
from scripts.unsupervised.sae.regions import region_of
from tests.scripts.unsupervised.patch_cohort import AFFINE, SLICE, write_cohort


@pytest.fixture
def case(tmp_path):
    return load_datalist(write_cohort(tmp_path), "training")[0]


def nodule(row, y, x, diameter_mm=8.0):
    point = AFFINE @ [x, y, SLICE - 1 + row, 1]
    return {"id": 1, "diameter_mm": diameter_mm, "centre_lps_mm": point[:3].tolist()}


def test_nodule_then_the_box_around_it_in_the_segmented_row(case):
    region = region_of({**case, "nodules": [nodule(1, 20, 22)]}, read_stack(case, 3), "instances")
    assert set(region.voxels[:, 0]) == {1}  # 6 mm around the centre: 4 pixels of 1.5, 6 of 1 mm
    assert region.voxels[:, 1:].min(axis=0).tolist() == [16, 16]
    assert region.voxels[:, 1:].max(axis=0).tolist() == [24, 28]
    corner = region.place[0]
    assert corner.tolist() == pytest.approx([0, -6 / 4, -6 / 4])


def test_centre_in_another_slice_then_place_by_the_distance(case):
    region = region_of({**case, "nodules": [nodule(3, 20, 22)]}, read_stack(case, 3), "instances")
    assert set(region.place[:, 0]) == {-4 / 4}  # 2 slices of 2 mm below, in radii of 4 mm
    far = region_of({**case, "nodules": [nodule(5, 20, 22)]}, read_stack(case, 3), "instances")
    assert len(far.voxels) == 0


def test_small_nodule_then_at_least_2_mm_beyond_its_radius(case):
    region = region_of(
        {**case, "nodules": [nodule(1, 20, 22, 2.0)]}, read_stack(case, 3), "instances"
    )
    assert region.voxels[:, 1:].max(axis=0).tolist() == [22, 25]


def test_two_boxes_then_each_voxel_once_and_by_the_nearer_nodule(case):
    pair = [nodule(1, 20, 20), nodule(1, 20, 26)]
    region = region_of({**case, "nodules": pair}, read_stack(case, 3), "instances")
    assert len(np.unique(region.voxels, axis=0)) == len(region.voxels)
    row = region.voxels[:, 1] == 20
    of = dict(zip(region.voxels[row, 2].tolist(), region.place[row, 2].tolist(), strict=True))
    assert (of[21], of[25]) == (pytest.approx(1 / 4), pytest.approx(-1 / 4))


def test_no_nodule_then_no_voxel(case):
    assert len(region_of({**case, "nodules": []}, read_stack(case, 3), "instances").voxels) == 0


def test_nodule_beside_the_image_then_refused(case):
    with pytest.raises(
        ValueError, match="centre of nodule 1 must lie inside the image of .40, 44."
    ):
        region_of({**case, "nodules": [nodule(1, 20, 90)]}, read_stack(case, 3), "instances")


def test_organs_then_the_body_with_places_in_its_box(tmp_path):
    case = load_datalist(write_cohort(tmp_path, kind="classes"), "test")[0]
    region = region_of(case, read_stack(case, 3), "classes")
    assert 900 < len(region.voxels) < 1600
    assert set(region.place[:, 0]) == {(SLICE + 0.5) / 60}
    assert region.place[:, 1:].min() > 0
    assert region.place[:, 1:].max() < 1
    assert region.place[:, 1].max() > 0.95


def test_body_of_a_volume_then_each_voxel_where_it_is_as_a_sample_of_its_slice(monkeypatch):
    bodies = np.zeros((3, 20, 30), bool)
    for row, width in enumerate((6, 10, 14)):  # as from the neck to the shoulders
        bodies[row, 4:16, 15 - width : 15 + width] = True
    monkeypatch.setattr(
        "scripts.unsupervised.sae.regions.field_of",
        lambda case, stack: bodies[stack.first + stack.rows.start : stack.first + stack.rows.stop],
    )
    hu, edges = np.zeros(bodies.shape, np.float32), np.array([2.0, 1.0, 1.0])
    whole = CTStack(hu, edges, range(3), 0, AFFINE, 3, is_volume=True)
    in_volume = region_of({}, whole, "classes")
    for row in range(3):
        one = CTStack(hu[:1], edges, range(1), row, AFFINE, 3, is_volume=False)
        sample, own = region_of({}, one, "classes"), in_volume.voxels[:, 0] == row
        np.testing.assert_array_equal(in_volume.voxels[own, 1:], sample.voxels[:, 1:])
        np.testing.assert_allclose(in_volume.place[own], sample.place)
