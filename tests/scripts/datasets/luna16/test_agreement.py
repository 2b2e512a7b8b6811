import numpy as np
import pytest

from scripts.datasets.luna16.agreement import cluster_findings, describe_instances, match_findings


def span(first, last):
    return np.arange(first, last, dtype=np.int64)


def test_match_when_three_readers_overlap_then_one_nodule():
    findings = [(0, span(0, 10)), (1, span(5, 15)), (2, span(12, 20)), (2, span(50, 60))]
    assert match_findings(findings) == [[0, 1, 2], [3]]


def test_match_when_one_reader_saw_two_then_two_nodules_and_best_overlap_joins():
    one_large = (1, span(0, 20))
    findings = [(0, span(0, 12)), (0, span(12, 20)), one_large]
    assert match_findings(findings) == [[0, 2], [1]]


def test_cluster_when_two_nodules_touch_then_apart_and_every_agreed_voxel_kept():
    findings = [
        (0, span(0, 10)), (0, span(10, 20)),
        (1, span(0, 11)), (1, span(11, 20)),
        (2, span(0, 20)),
    ]  # fmt: skip
    instances, members = cluster_findings(findings, 30, 2)
    assert (instances[:20] > 0).all()
    assert not instances[20:].any()
    assert len(set(instances[:10])) == len(set(instances[11:20])) == 1
    assert instances[0] != instances[19]
    assert sorted(members.values()) in ([[0, 2, 4], [1, 3]], [[0, 2], [1, 3, 4]])


def test_cluster_when_readers_part_two_nodules_differently_then_the_smaller_keeps_the_voxels():
    findings = [(0, span(0, 10)), (1, span(0, 12)), (0, span(10, 20)), (1, span(12, 20))]
    instances, _ = cluster_findings(findings, 20, 2)
    assert set(instances[10:]) == {1}  # 10 and 11: both readers, each in another nodule
    assert set(instances[:10]) == {2}


def test_cluster_when_min_readers_rises_then_fewer_voxels():
    findings = [(0, span(0, 10)), (1, span(2, 8)), (2, span(4, 6))]
    sizes = [np.count_nonzero(cluster_findings(findings, 12, n)[0]) for n in (1, 2, 3)]
    assert sizes == [10, 6, 2]


def test_cluster_when_nothing_found_then_empty():
    instances, members = cluster_findings([], 5, 1)
    assert not instances.any()
    assert members == {}


def test_cluster_when_more_nodules_than_labels_then_refused():
    with pytest.raises(ValueError, match="at most 255 nodules fit .* got 256"):
        cluster_findings([(0, span(i, i + 1)) for i in range(256)], 300, 1)


def test_describe_when_several_then_numbered_from_the_feet_and_measured_in_mm():
    instances = np.zeros((6, 4, 4), np.uint8)
    instances[4, 1:3, 1:3] = 1
    instances[1, 0, 3] = 3
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[2, 3] = -100
    renumbered, nodules = describe_instances(instances, {1: 4, 2: 1, 3: 2}, affine)
    assert renumbered[1, 0, 3] == 1
    assert renumbered[4, 1, 1] == 2
    assert [n["id"] for n in nodules] == [1, 2]
    assert [n["readers"] for n in nodules] == [2, 4]
    assert nodules[1]["centre_lps_mm"] == [3.0, 3.0, -88.0]
    assert nodules[0]["diameter_mm"] == pytest.approx((6 / np.pi * 12) ** (1 / 3))


def test_describe_when_rated_then_the_entries_of_those_that_have_ratings():
    instances = np.zeros((2, 4, 4), np.uint8)
    instances[0, 1, 1], instances[1, 1, 1] = 2, 1
    _, nodules = describe_instances(
        instances, {1: 1, 2: 3}, np.eye(4), {2: {"malignancy": [5, 4, 4]}}
    )
    assert nodules[0]["malignancy"] == [5, 4, 4]
    assert "malignancy" not in nodules[1]


def test_describe_when_on_one_slice_then_numbered_from_the_front_then_from_the_right():
    instances = np.zeros((2, 6, 6), np.uint8)
    instances[1, 4, 0], instances[1, 1, 5], instances[1, 4, 3] = 1, 2, 3
    renumbered, _ = describe_instances(instances, {1: 1, 2: 1, 3: 1}, np.eye(4))
    assert (renumbered[1, 1, 5], renumbered[1, 4, 0], renumbered[1, 4, 3]) == (1, 2, 3)
