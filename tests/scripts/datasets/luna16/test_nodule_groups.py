import numpy as np

from scripts.datasets.luna16.nodule_groups import group_nodules
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


def test_nodule_without_a_voxel_then_in_no_group():
    line = Outline(-96.0, True, np.array([(5, 5), (6, 5), (6, 6)]))
    assert group_nodules(outlines([ReaderNodule("a", (line,))]), SHAPE, AFFINE) == []
