"""Labels from ratings, and what is left out."""

import pytest

from scripts.suspicion.labels import LabelRule


@pytest.mark.parametrize(
    ("ratings", "median", "mean"),
    [
        ([5, 5, 3, 4], True, True),  # the three nodules of LIDC-IDRI-0003
        ([4, 4, 3, 2], True, True),
        ([4, 5, 3, 2], True, True),
        ([3, 3, 3, 5], None, True),
        ([3, 3, 1], None, False),
        ([1, 5, 3], None, None),
        ([2, 3, 2, 4], False, False),
        ([2, 4, 3, 3], None, None),
        ([5, 5], None, None),  # two readers
    ],
)
def test_label_by_median_and_by_mean(ratings, median, mean):
    assert LabelRule().label(ratings) is median
    assert LabelRule("mean").label(ratings) is mean


def test_count_then_every_nodule_once_by_label_or_reason():
    ratings = [[5, 5, 4], [1, 1, 2], [3, 3, 3], [1, 5, 3], [5, 5]]
    assert LabelRule().count(ratings) == {
        "suspicious": 1,
        "unsuspicious": 1,
        "indeterminate": 2,
        "few_readers": 1,
    }
    assert LabelRule(min_readers=2).count(ratings)["suspicious"] == 2


def test_rule_when_invalid_then_refused():
    with pytest.raises(ValueError, match="aggregate: must be one of median, mean, got 'mode'"):
        LabelRule("mode")
    with pytest.raises(ValueError, match="min_readers: .* 1 to 4, got 5"):
        LabelRule(min_readers=5)
    with pytest.raises(ValueError, match="malignancy: .* 1 to 5, got 6"):
        LabelRule().label([6, 1, 1])
