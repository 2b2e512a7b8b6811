from functools import partial

import pytest

from scripts.datasets.shares import PARTITIONS
from scripts.preparation.slice_splits import (
    assign_object_blocks,
    assign_random_slices,
    assign_slice_blocks,
    hold_back_ends,
    runs,
)

PATIENTS = [f"3Dircadb1.{number}" for number in range(1, 21)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gap", [1, 2])
def test_slice_blocks_then_test_inside_validation_inside_training(seed, gap):
    nodules = {("a", 1): range(10, 30), ("a", 2): range(40, 60), ("b", 1): range(7)}
    partitions = assign_object_blocks(nodules, seed=seed, gap=gap)
    for (uid, _), run in nodules.items():
        by_partition = {
            partition: [k for k in run if partitions[uid, k] == partition]
            for partition in PARTITIONS
        }
        block = by_partition["test"]
        assert len(runs(block)) == 1
        below = [*range(block[0] - gap, block[0])]
        assert by_partition["validation"] == [*below, *range(block[-1] + 1, block[-1] + gap + 1)]
        assert {partitions[uid, run[0]], partitions[uid, run[-1]]} == {"training"}


@pytest.mark.parametrize("seed", range(8))
def test_nodules_that_overlap_then_each_has_training_slices_on_both_parts(seed):
    nodules = {("a", 1): range(20), ("a", 2): range(14, 24), ("a", 3): range(8, 12)}
    partitions = assign_object_blocks(nodules, seed=seed)
    for (uid, _), numbers in nodules.items():
        held = [k for k in numbers if partitions[uid, k] == "test"]
        training = [k for k in numbers if partitions[uid, k] == "training"]
        if held:
            assert min(training) < min(held) <= max(held) < max(training)


def test_runs_when_too_short_then_all_train():
    nodules = {("a", 1): range(5), ("b", 1): range(4), ("c", 1): [3]}
    partitions = assign_object_blocks(nodules)
    assert [partitions["a", k] for k in range(5)] == (
        ["training", "validation", "test", "validation", "training"]
    )
    assert {partition for (uid, _), partition in partitions.items() if uid != "a"} == {"training"}


def test_other_seed_then_other_slices_are_tested():
    tested = {
        number
        for seed in range(20)
        for (_, number), partition in assign_object_blocks({("a", 1): range(7)}, seed=seed).items()
        if partition == "test"
    }
    assert tested == {2, 3, 4}


def test_nothing_to_test_on_then_a_nodule_is_tested_at_its_end():
    nodules = {("b", 1): range(4), ("b", 2): range(2, 6)}
    assert set(assign_object_blocks(nodules).values()) == set(PARTITIONS)


def test_slices_without_nodule_then_the_ends_are_held_back():
    partitions = hold_back_ends([5, 1, 2, 3, 4, 10, 9, 8, 7, 6])
    assert [partitions[k] for k in range(1, 11)] == (
        ["validation"] * 2 + ["training"] * 6 + ["test"] * 2
    )
    assert hold_back_ends([4, 5]) == {4: "training", 5: "training"}


def test_single_slices_then_refused_naming_what_is_needed():
    needed = r"at least 5 consecutive slices.*the longest run has 1"
    with pytest.raises(ValueError, match=needed):
        assign_object_blocks({("a", 1): [3], ("b", 1): [9]})


def test_slices_without_a_gap_then_refused():
    with pytest.raises(ValueError, match="gap: must be at least 1 slice, got 0"):
        assign_object_blocks({("a", 1): range(9)}, gap=0)


PUBLISHED = [129, 172, 200, 91, 139, 135, 151, 124, 111, 122, 132, 260, 122, 113, 125, 155, 119, 74]
PUBLISHED += [124, 225]


def test_the_papers_random_slices_then_its_numbers_and_leaking():
    slices = {name: range(count) for name, count in zip(PATIENTS, PUBLISHED, strict=True)}
    partitions = assign_random_slices(slices)
    parts = list(partitions.values())
    assert (parts.count("training"), parts.count("validation")) == (2258, 565)
    held = {name for (name, _), partition in partitions.items() if partition == "validation"}
    assert held == set(PATIENTS)


def test_single_slice_then_no_random_split():
    with pytest.raises(ValueError, match="at least 2 slices, got 1"):
        assign_random_slices({"a": [0]})


@pytest.mark.parametrize("gap", [1, 2, 4])
def test_blocks_then_no_slice_within_the_gap_of_another_partition(gap):
    partitions = assign_slice_blocks({"a": range(119)}, block=10, gap=gap)
    numbers = {number: partition for (_, number), partition in partitions.items()}
    for number, partition in numbers.items():
        around = range(number - gap, number + gap + 1)
        assert {numbers.get(k, partition) for k in around} == {partition}
    assert set(numbers.values()) == {"training", "validation", "test"}
    training = list(numbers.values()).count("training")
    assert 0.5 < training / len(numbers) < 0.8


def test_blocks_shorter_than_the_gap_then_some_left_out_whole():
    partitions = assign_slice_blocks({"a": range(60)}, block=2, gap=3)
    numbers = {number: partition for (_, number), partition in partitions.items()}
    assert any({2 * k, 2 * k + 1}.isdisjoint(numbers) for k in range(30))
    for number, partition in numbers.items():
        assert {numbers.get(k, partition) for k in range(number - 3, number + 4)} == {partition}


def test_short_patient_around_a_long_one_then_trains():
    partitions = assign_slice_blocks({"long": range(60), "short": range(15)}, block=10)
    assert {s for (name, _), s in partitions.items() if name == "short"} == {"training"}


def test_too_few_blocks_then_refused():
    with pytest.raises(ValueError, match="leaves test and validation empty: .*smaller --block"):
        assign_slice_blocks({"a": range(19)}, block=10)


SLICES = {"a": range(60), "b": range(45)}


@pytest.mark.parametrize(
    "draw",
    [
        partial(assign_random_slices, SLICES),
        partial(assign_slice_blocks, SLICES),
        partial(assign_object_blocks, {("a", 1): range(30), ("b", 1): range(40)}),
    ],
    ids=["random slices", "blocks", "blocks of objects"],
)
def test_draw_then_the_same_for_a_seed_and_another_for_another(draw):
    assert draw() == draw(seed=0) == draw(seed=0)
    assert draw() != draw(seed=1)


def test_blocks_without_options_then_10_slices_and_a_gap_of_2():
    assert assign_slice_blocks(SLICES) == assign_slice_blocks(SLICES, block=10, gap=2)
    assert assign_slice_blocks(SLICES) != assign_slice_blocks(SLICES, block=11)
    assert assign_slice_blocks(SLICES) != assign_slice_blocks(SLICES, gap=3)
