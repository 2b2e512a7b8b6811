from collections import Counter
from functools import partial

import pytest

from scripts.datasets.folder.dataset import FolderDataSet
from scripts.datasets.ircadb.ircadb_dataset import Ircadb
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.shares import PARTITIONS
from scripts.preparation.splits import (
    assign_folds,
    assign_nodules,
    assign_patients,
    kinds_of,
    splits_of,
)

PATIENTS = [f"3Dircadb1.{number}" for number in range(1, 21)]


def test_splits_of_a_data_set_then_those_of_its_kind_and_its_own():
    shared = ["patient", "fold", "test_only", "validation_only"]
    assert list(splits_of(Luna16)) == [*shared, "nodule", "nodule_fold", "slice_block", "subset"]
    assert list(splits_of(Ircadb())) == [*shared, "slice_random", "slice_block"]


def test_leaking_and_untested_splits_then_said_so():
    splits = splits_of(Luna16) | splits_of(Ircadb)
    leaking = {name for name, split in splits.items() if split.leak}
    assert leaking == {"nodule", "nodule_fold", "slice_block", "slice_random"}
    assert [name for name, split in splits.items() if not split.tested] == [
        "validation_only",
        "slice_random",
    ]


def test_kind_that_is_an_option_then_both_until_it_is_chosen():
    assert kinds_of(FolderDataSet) == ("instances", "classes")
    assert kinds_of(FolderDataSet(kind="instances")) == ("instances",)
    assert kinds_of(Luna16) == ("instances",)


def test_patients_then_divided_8_1_1_whatever_their_order():
    nodules = {f"p{i}": 1 + i % 3 for i in range(100)}
    partitions = assign_patients(nodules)
    assert Counter(partitions.values()) == {"training": 80, "validation": 10, "test": 10}
    assert assign_patients(dict(reversed(nodules.items()))) == partitions


def test_patients_with_another_seed_then_another_draw():
    nodules = {f"p{i}": 1 for i in range(30)}
    assert assign_patients(nodules, seed=0) != assign_patients(nodules, seed=1)


@pytest.mark.parametrize("seed", range(5))
def test_patients_mostly_without_nodules_then_every_partition_has_nodules(seed):
    nodules = {f"p{i}": int(i < 3) for i in range(40)}
    partitions = assign_patients(nodules, seed=seed)
    assert {partitions[f"p{i}"] for i in range(3)} == set(PARTITIONS)


def test_two_patients_then_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"at least 3 patients with nodules.*got 2.*slice_block"):
        assign_patients({"a": True, "b": True, "c": False}, needed="with nodules")


def test_nodules_of_the_paper_then_949_110_127():
    names = [(f"uid{i % 601}", i // 601 + 1) for i in range(1186)]
    partitions = assign_nodules(names, seed=3)
    assert Counter(partitions.values()) == {"training": 949, "validation": 110, "test": 127}
    assert assign_nodules(names, seed=4) != partitions


@pytest.mark.parametrize("count", range(3, 10))
def test_few_nodules_then_every_partition_has_one(count):
    partitions = assign_nodules([("a", number) for number in range(count)])
    assert set(partitions.values()) == set(PARTITIONS)


def test_two_nodules_then_refused():
    with pytest.raises(ValueError, match="at least 3 nodules, got 2"):
        assign_nodules([("a", 1), ("a", 2)])


def test_patients_when_shares_are_asked_for_then_dealt_so():
    partitions = assign_patients({str(i): 1 for i in range(20)}, shares=(7, 1, 2))
    assert Counter(partitions.values()) == {"training": 14, "validation": 2, "test": 4}


def test_twenty_patients_then_16_2_2_and_kidneys_known_on_every_partition():
    complete = {name: number >= 3 for number, name in enumerate(PATIENTS)}
    partitions = assign_patients(complete, seed=3)
    parts = list(partitions.values())
    assert [parts.count(s) for s in ("training", "validation", "test")] == [16, 2, 2]
    for part in ("training", "validation", "test"):
        assert any(complete[name] for name, partition in partitions.items() if partition == part)


def test_order_of_names_then_no_matter_but_the_seed_does():
    complete = dict.fromkeys(PATIENTS, True)
    backwards = dict.fromkeys(reversed(PATIENTS), True)
    assert assign_patients(complete) == assign_patients(backwards)
    assert assign_patients(complete) != assign_patients(complete, seed=1)


def test_two_patients_of_classes_then_refused_with_a_way_out():
    with pytest.raises(ValueError, match="at least 3 patients, .*got 2; .*--split slice_block"):
        assign_patients({"a": True, "b": True})


def test_no_patient_complete_then_still_dealt():
    assert set(assign_patients(dict.fromkeys("abcd", False)).values()) == {
        "training",
        "validation",
        "test",
    }


def test_folds_then_every_patient_tests_once():
    runs = [assign_folds(PATIENTS, folds=5, test_fold=k) for k in range(5)]
    tested = [name for run in runs for name, partition in run.items() if partition == "test"]
    assert sorted(tested) == sorted(PATIENTS)
    assert [list(runs[0].values()).count(s) for s in ("training", "validation")] == [12, 4]


def test_more_folds_than_patients_then_refused():
    with pytest.raises(ValueError, match="at most the number of patients or nodules, 2, got 3"):
        assign_folds(["a", "b"], folds=3)


@pytest.mark.parametrize(
    "draw",
    [
        partial(assign_patients, dict.fromkeys(PATIENTS, True)),
        partial(assign_folds, PATIENTS),
        partial(assign_nodules, [(name, 1) for name in PATIENTS]),
    ],
    ids=["patients", "folds", "nodules"],
)
def test_draw_then_the_same_for_a_seed_and_another_for_another(draw):
    assert draw() == draw(seed=0) == draw(seed=0)
    assert draw() != draw(seed=1)


def test_folds_without_options_then_the_first_of_five():
    assert assign_folds(PATIENTS) == assign_folds(PATIENTS, folds=5, test_fold=0)


def test_next_fold_then_validates_on_what_it_tests_after():
    for k in range(5):
        run, following = (assign_folds(PATIENTS, folds=5, test_fold=(k + i) % 5) for i in (0, 1))
        validated = {name for name, partition in run.items() if partition == "validation"}
        assert validated == {name for name, partition in following.items() if partition == "test"}
