from random import Random

import pytest

from scripts.datasets.shares import apportion, deal, leaks, read_shares


@pytest.mark.parametrize(
    ("count", "shares", "parts"),
    [(10, (8, 1, 1), (8, 1, 1)), (20, (8, 1, 1), (16, 2, 2)), (5, (1, 1, 1), (2, 2, 1))],
)
def test_shares_then_whole_numbers_that_add_up(count, shares, parts):
    assert apportion(count, shares) == parts


def test_at_least_then_the_largest_part_pays():
    assert apportion(3, (8, 1, 1), at_least=1) == (1, 1, 1)


def test_too_few_for_at_least_then_refused():
    with pytest.raises(ValueError, match="count: must be at least 3, got 2"):
        apportion(2, (8, 1, 1), at_least=1)


def test_deal_then_as_many_as_counted_in_whatever_order():
    dealt = deal("abcdef", (3, 2, 1), Random(4))
    assert sorted(dealt.values()) == ["test", *["training"] * 3, *["validation"] * 2]
    assert dealt == deal("fedcba", (3, 2, 1), Random(4))


def test_volume_on_another_side_than_its_slices_then_a_leak():
    one = {"patient_id": "p1"}
    lists = {"training": [one], "validation": [], "test": [], "volumes": {"test": [one]}}
    assert leaks(lists) == ["p1"]


def test_leaks_of_volumes_then_found_too():
    datalist = {
        "training": [{"patient_id": "p"}],
        "validation": [],
        "test": [],
        "volumes": {"test": [{"patient_id": "p"}, {"patient_id": "q"}]},
    }
    assert leaks(datalist) == ["p"]


@pytest.mark.parametrize("text", ["8:1", "8:1:0", "8:1:x", "0.8:0.1:0.1"])
def test_shares_when_not_three_whole_numbers_then_refused(text):
    with pytest.raises(ValueError, match=f"three whole numbers such as 8:1:1, got '{text}'"):
        read_shares(text)
