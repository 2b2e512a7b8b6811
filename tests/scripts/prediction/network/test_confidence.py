import numpy as np
import pytest

from scripts.datasets.candidates import Candidate
from scripts.prediction.network.confidence import (
    faint_candidates,
    lesion_candidates,
    with_confidence,
)
from scripts.prediction.network.segments import SegmentRule
from scripts.prediction.result import Segment
from scripts.volumes.geometry import index_to_world

AFFINE = np.array([[-0.5, 0, 0, 10], [0, 0.5, 0, -20], [0, 0, 2.0, 7], [0, 0, 0, 1.0]])
SHAPE = (8, 20, 20)
RULE = SegmentRule(1, "nodule", numbered=True)


def faint(labels, mask, probability, rule=RULE):
    return list(faint_candidates(labels, mask, rule, probability, AFFINE, "s"))


def test_lesions_beside_an_organ_then_each_lesion_with_its_own_probability():
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 10:], mask[2, 3, 4], mask[5, 5, 5:7] = 1, 2, 3
    probability = np.full(SHAPE, 0.9, np.float32)
    probability[2, 3, 4], probability[5, 5, 5] = 0.75, 0.5
    lesions = [Segment(n, "tumour", f"tumour {n - 1}", lesion=True) for n in (2, 3)]
    one, other = lesion_candidates(mask, lesions, probability, AFFINE, "s")
    assert [one.segment, other.segment] == [2, 3]
    assert one.probability == one.mean_probability == 0.75
    assert (other.probability, other.mean_probability) == pytest.approx((0.9, 0.7))


def test_fainter_components_then_only_those_without_a_voxel_of_the_mask():
    labels, mask = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:6, 2:6] = 1  # the rim of a nodule: its core is in the mask
    mask[3, 3, 3] = 1
    labels[6, 10, 12:14] = 1
    labels[4, 4, 7] = 2  # another label
    probability = labels * np.float32(0.25)
    (only,) = faint(labels, mask, probability)
    assert only.centre_lps_mm == pytest.approx(index_to_world((12.5, 10, 6), AFFINE))
    assert (only.segment, only.probability) == (0, 0.25)


@pytest.mark.parametrize(("connectivity", "count"), [(1, 2), (3, 1)])
def test_voxels_that_touch_at_a_corner_then_joined_as_the_bundle_says(connectivity, count):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2, 2, 2] = labels[3, 3, 3] = 1
    rule = SegmentRule(1, "nodule", numbered=True, connectivity=connectivity)
    assert len(faint(labels, labels * 0, labels.astype(np.float32), rule)) == count


def test_nothing_fainter_then_no_candidate():
    empty = np.zeros(SHAPE, np.uint8)
    assert faint(empty, empty, empty.astype(np.float32)) == []


def test_segments_then_the_probabilities_of_their_candidates_and_organs_none():
    segments = (Segment(1, "liver", "liver"), Segment(2, "tumour", "tumour 1", lesion=True))
    found = [Candidate("s", (0, 0, 0), 0.3), Candidate("s", (0, 0, 0), 0.8, 0.6, segment=2)]
    organ, lesion = with_confidence(segments, found)
    assert organ == segments[0]
    assert (lesion.probability, lesion.mean_probability) == (0.8, 0.6)
