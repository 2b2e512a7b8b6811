import pytest

from scripts.datasets.ircadb.ircadb_dataset import Ircadb
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.preparation.prepare_options import SliceOptions, SplitOptions, check_window


def test_slices_of_the_other_kind_then_refused():
    SliceOptions("central").check("instances")
    with pytest.raises(ValueError, match="slices: must be one of all, organ, got 'central'"):
        SliceOptions("central").check("classes")


def test_stored_slices_then_depend_on_the_seed_only_where_some_are_drawn():
    one, other = SliceOptions("all"), SliceOptions("all", seed=1)
    assert one.stored("instances") != other.stored("instances")
    assert one.stored("classes") == other.stored("classes")
    fewer = SliceOptions("all", empty_share=0.5)
    assert one.stored("instances") == fewer.stored("instances")


def test_record_of_a_split_then_only_what_it_reads():
    kind = {"kind": "fold", "seed": 1, "folds": 4, "test_fold": 2}
    assert SplitOptions("fold", seed=1, folds=4, test_fold=2).record(Luna16()) == kind
    subset = {"kind": "subset", "seed": 0, "test_fold": 2}
    assert SplitOptions("subset", test_fold=2).record(Luna16()) == subset
    assert SplitOptions("slice_block").record(Luna16()) == {"kind": "slice_block", "seed": 0}
    assert SplitOptions("slice_block").record(Ircadb())["block"] == 10


def test_fold_that_is_none_of_them_then_refused():
    with pytest.raises(ValueError, match="test_fold: must be a whole number, 0 to 2, got 3"):
        SplitOptions("fold", folds=3, test_fold=3).check(Ircadb())


@pytest.mark.parametrize(
    ("split", "option", "shown"),
    [
        ("patient", {"folds": 10}, "folds: is not used by --split patient, got 10"),
        ("patient", {"test_fold": 1}, "test_fold: is not used by --split patient, got 1"),
        ("fold", {"shares": (2, 1, 1)}, "shares: is not used by --split fold, got 2:1:1"),
        ("test_only", {"shares": (2, 1, 1)}, "shares: is not used by --split test_only"),
        ("patient", {"block": 5}, "block: is not used by --split patient, got 5"),
    ],
)
def test_option_that_the_split_does_not_use_then_refused(split, option, shown):
    with pytest.raises(ValueError, match=shown):
        SplitOptions(split, **option).check(Ircadb())


@pytest.mark.parametrize("window", [5, (1, 1), (2, 1), ("a", "b"), (1, 2, 3)], ids=str)
def test_window_that_is_none_then_refused(window):
    with pytest.raises(ValueError, match="window_hu: "):
        check_window(window)
