from collections import Counter

import pytest

from scripts.datasets.shares import SECTIONS, leaks, read_shares
from scripts.preparation.splits import (
    assign_nodules,
    assign_patients,
    assign_slices,
    assign_subsets,
    hold_back_ends,
    runs,
)


def test_patients_then_divided_8_1_1_whatever_their_order():
    nodules = {f"p{i}": 1 + i % 3 for i in range(100)}
    sections = assign_patients(nodules)
    assert Counter(sections.values()) == {"training": 80, "validation": 10, "test": 10}
    assert assign_patients(dict(reversed(nodules.items()))) == sections


def test_patients_with_another_seed_then_another_draw():
    nodules = {f"p{i}": 1 for i in range(30)}
    assert assign_patients(nodules, seed=0) != assign_patients(nodules, seed=1)


@pytest.mark.parametrize("seed", range(5))
def test_patients_mostly_without_nodules_then_every_side_has_nodules(seed):
    nodules = {f"p{i}": int(i < 3) for i in range(40)}
    sections = assign_patients(nodules, seed=seed)
    assert {sections[f"p{i}"] for i in range(3)} == set(SECTIONS)


def test_two_patients_then_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"at least 3 patients.*got 2.*slice_block"):
        assign_patients({"a": 1, "b": 2, "c": 0})


def test_nodules_of_the_paper_then_949_110_127():
    names = [(f"uid{i % 601}", i // 601 + 1) for i in range(1186)]
    sections = assign_nodules(names, seed=3)
    assert Counter(sections.values()) == {"training": 949, "validation": 110, "test": 127}
    assert assign_nodules(names, seed=4) != sections


def test_two_nodules_then_refused():
    with pytest.raises(ValueError, match="at least 3 nodules, got 2"):
        assign_nodules([("a", 1), ("a", 2)])


def test_subsets_then_fold_tests_and_next_validates():
    subsets = {f"uid{i}": i % 10 for i in range(20)}
    sections = assign_subsets(subsets, test_fold=9)
    assert {uid for uid, s in sections.items() if s == "test"} == {"uid9", "uid19"}
    assert {uid for uid, s in sections.items() if s == "validation"} == {"uid0", "uid10"}


@pytest.mark.parametrize("there", [(0, 1), (0, 2), (1, 2)], ids=str)
def test_subsets_missing_then_says_which_are_needed(there):
    with pytest.raises(ValueError, match=r"subset0 \(test\), subset1 \(validation\)"):
        assign_subsets({f"uid{k}": k for k in there})


def test_fold_that_is_none_then_refused():
    with pytest.raises(ValueError, match="test_fold: must be 0 to 9, got 10"):
        assign_subsets({"a": 1}, test_fold=10)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gap", [1, 2])
def test_slice_blocks_then_test_inside_validation_inside_training(seed, gap):
    nodules = {("a", 1): range(10, 30), ("a", 2): range(40, 60), ("b", 1): range(7)}
    sections = assign_slices(nodules, seed=seed, gap=gap)
    for (uid, _), run in nodules.items():
        by_section = {
            section: [k for k in run if sections[uid, k] == section] for section in SECTIONS
        }
        block = by_section["test"]
        assert len(runs(block)) == 1
        below = [*range(block[0] - gap, block[0])]
        assert by_section["validation"] == [*below, *range(block[-1] + 1, block[-1] + gap + 1)]
        assert {sections[uid, run[0]], sections[uid, run[-1]]} == {"training"}


@pytest.mark.parametrize("seed", range(8))
def test_nodules_that_overlap_then_each_has_training_slices_on_both_sides(seed):
    nodules = {("a", 1): range(20), ("a", 2): range(14, 24), ("a", 3): range(8, 12)}
    sections = assign_slices(nodules, seed=seed)
    for (uid, _), numbers in nodules.items():
        held = [k for k in numbers if sections[uid, k] == "test"]
        training = [k for k in numbers if sections[uid, k] == "training"]
        if held:
            assert min(training) < min(held) <= max(held) < max(training)


def test_runs_when_too_short_then_all_train():
    nodules = {("a", 1): range(5), ("b", 1): range(4), ("c", 1): [3]}
    sections = assign_slices(nodules)
    assert [sections["a", k] for k in range(5)] == (
        ["training", "validation", "test", "validation", "training"]
    )
    assert {section for (uid, _), section in sections.items() if uid != "a"} == {"training"}


def test_other_seed_then_other_slices_are_tested():
    tested = {
        number
        for seed in range(20)
        for (_, number), section in assign_slices({("a", 1): range(7)}, seed=seed).items()
        if section == "test"
    }
    assert tested == {2, 3, 4}


def test_nothing_to_test_on_then_a_nodule_is_tested_at_its_end():
    nodules = {("b", 1): range(4), ("b", 2): range(2, 6)}
    assert set(assign_slices(nodules).values()) == set(SECTIONS)


def test_slices_without_nodule_then_the_ends_are_held_back():
    sections = hold_back_ends([5, 1, 2, 3, 4, 10, 9, 8, 7, 6])
    assert [sections[k] for k in range(1, 11)] == (
        ["validation"] * 2 + ["training"] * 6 + ["test"] * 2
    )
    assert hold_back_ends([4, 5]) == {4: "training", 5: "training"}


def test_single_slices_then_refused_naming_what_is_needed():
    needed = r"at least 5 consecutive slices.*the longest run has 1"
    with pytest.raises(ValueError, match=needed):
        assign_slices({("a", 1): [3], ("b", 1): [9]})


def test_slices_without_a_gap_then_refused():
    with pytest.raises(ValueError, match="gap: must be at least 1 slice, got 0"):
        assign_slices({("a", 1): range(9)}, gap=0)


def test_leaks_of_volumes_then_found_too():
    datalist = {
        "training": [{"patient_id": "p"}],
        "validation": [],
        "test": [],
        "volumes": {"test": [{"patient_id": "p"}, {"patient_id": "q"}]},
    }
    assert leaks(datalist) == ["p"]


def test_patients_when_shares_are_asked_for_then_dealt_so():
    sections = assign_patients({str(i): 1 for i in range(20)}, shares=(7, 1, 2))
    assert Counter(sections.values()) == {"training": 14, "validation": 2, "test": 4}


@pytest.mark.parametrize("text", ["8:1", "8:1:0", "8:1:x", "0.8:0.1:0.1"])
def test_shares_when_not_three_whole_numbers_then_refused(text):
    with pytest.raises(ValueError, match=f"three whole numbers such as 8:1:1, got '{text}'"):
        read_shares(text)
