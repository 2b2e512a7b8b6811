"""Members that agree, and members that do not, counted by hand."""

import numpy as np
import pytest

from scripts.prediction.members.agreement import MemberMasks, member_names

KINDS = {1: "liver", 2: "nodule"}


def labels(liver, nodules):
    """Two slices of 4 x 5: a liver of whole columns, nodules as (slice, row, column)."""
    one = np.zeros((2, 4, 5), np.uint8)
    one[..., :liver] = 1
    for place in nodules:
        one[place] = 2
    return one


def agreement(*members, mask=None, lesions=None):
    masks = MemberMasks()
    for number, one in enumerate(members):
        masks.add(number, one)
    names = [f"{number}.pt" for number in range(len(members))]
    result = np.zeros((2, 4, 5), np.uint8) if mask is None else mask
    return masks.agreement(names, KINDS, result, lesions or {})


def test_members_that_differ_then_mean_dice_over_pairs_of_each_kind():
    found = agreement(labels(2, [(0, 0, 4)]), labels(1, [(0, 0, 4)]), labels(2, [(1, 3, 4)]))
    # livers of 16, 8 and 16 voxels: 2 * 8 / 24 twice, and 1; nodules: 1 of the pairs is equal
    assert found.dice["liver"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.dice["nodule"] == pytest.approx(1 / 3)
    assert found.mean_dice == pytest.approx((7 / 9 + 1 / 3) / 2)


def test_empty_masks_then_agree_fully_and_not_at_all_with_others():
    assert agreement(labels(0, []), labels(0, [])).mean_dice == 1
    found = agreement(labels(0, []), labels(1, []))
    assert found.dice == {"liver": 0, "nodule": 1}


def test_lesions_then_share_of_the_members_that_mark_a_voxel_of_the_same_kind():
    mask = np.zeros((2, 4, 5), np.uint8)
    mask[0, :2, 4], mask[1, 3, 4] = 2, 3  # segment 1 is the liver
    members = labels(1, [(0, 1, 4)]), labels(5, []), labels(1, [(0, 0, 4), (1, 3, 4)])
    found = agreement(*members, mask=mask, lesions={2: 2, 3: 2})
    assert found.shares == {2: pytest.approx(2 / 3), 3: pytest.approx(1 / 3)}


def test_member_computed_again_then_counts_once():
    masks = MemberMasks()
    for number, liver in ((0, 1), (0, 2), (1, 2)):
        masks.add(number, labels(liver, []))
    found = masks.agreement(["a", "b"], {1: "liver"}, labels(2, []), {})
    assert found.dice == {"liver": 1}


def test_names_then_in_the_order_of_the_passes():
    assert member_names(["a.pt", "b.pt"], ["x"]) == (
        "a.pt",
        "a.pt flipped x",
        "b.pt",
        "b.pt flipped x",
    )
