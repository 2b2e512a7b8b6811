import numpy as np

from scripts.datasets.luna16.nodule_groups import group_nodules, match_listed
from scripts.datasets.luna16.outlines import Outline, ReaderNodule
from tests.scripts.evaluation.readers.made_up import AFFINE, SHAPE, groups, nodule, outlines


def test_groups_then_from_feet_to_head_with_votes_and_centre():
    upper = [nodule("a", 20, 20, (6, 7)), nodule("b", 21, 20, (6, 7))]
    lower = nodule("c", 40, 40, (2,))
    first, second = groups([upper[0], lower], [upper[1]])
    assert [n.name for n in first.nodules] == ["c"]
    assert first.centre_mm == (20.0, 20.0, -96.0)
    assert [n.name for n in second.nodules] == ["a", "b"]
    assert second.centre_mm == (10.25, 10.0, -87.0)
    assert [len(v) for v in second.outlined] == [162, 162]
    assert (len(second.voxels), len(second.agreed(2)), len(second.agreed(3))) == (180, 144, 0)
    assert np.array_equal(second.agreed(1), second.voxels)


def test_centre_of_the_list_then_the_mean_of_the_readers_and_not_of_their_voxels():
    small = [nodule(name, 20, 20, (6,), half=2) for name in ("a", "b", "c")]
    large = nodule("d", 24, 20, (5, 6, 7), half=6)
    (group,) = groups(*([one] for one in (*small, large)))
    assert group.listed_centre_mm == (10.5, 10.0, -88.0)
    assert group.centre_mm == (12.0, 10.0, -88.0)


def test_listed_nodules_then_each_the_nearest_group_within_its_radius():
    found = groups([nodule("a", 20, 20, (2,)), nodule("b", 40, 20, (2,))])
    centres = [np.array([0.0, 0, 0]), np.array([10.0, 0, 0])]
    listed = [(1.0, 0.0, 0.0, 8.0), (0.5, 0.0, 0.0, 8.0), (13.0, 0.0, 0.0, 7.0)]
    assert match_listed(listed, found, centres) == {1: 0, 2: 1}
    assert match_listed([(13.0, 0.0, 0.0, 6.0)], found, centres) == {}


def test_nodule_without_a_voxel_then_in_no_group():
    line = Outline(-96.0, True, np.array([(5, 5), (6, 5), (6, 6)]))
    assert group_nodules(outlines([ReaderNodule("a", (line,))]), SHAPE, AFFINE) == []
