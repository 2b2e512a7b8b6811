"""Overrides whose id no config has: refused, with the nearest ids."""

import pytest

from scripts.bundle.ids import all_ids, refuse_unknown_ids

CONFIG = {
    "rate": 1,
    "part": {"_target_": "dict", "sizes": [{"a": 1}]},
    "loss": {"_target_": "DiceLoss"},
    "link": "@rate",
    "macro": "%other.json::a",
    "train": {"handlers": []},
}


@pytest.mark.parametrize(
    "id_",
    ["rate", "part", "part::sizes::0::a", "part#sizes#0", "+part#sizes", "part#new", "run_name"],
)
def test_id_of_the_config_or_further_argument_then_taken(id_):
    refuse_unknown_ids(CONFIG, [id_])


@pytest.mark.parametrize(
    ("id_", "message"),
    [
        ("rat", "--rat: no such id; did you mean rate"),
        ("part#size#0#a", "--part#size#0#a: no such id; did you mean part::sizes?"),
        ("part::sizes::3", "did you mean part::sizes::0"),
        ("a", "did you mean part::sizes::0::a?"),
        ("handlers", "did you mean train::handlers?"),
        ("+part::new", "did you mean"),
        ("train::los", "did you mean"),
        ("link::x", "link is '@rate', which has no parts to set"),
        ("macro::x", "macro is '%other.json::a', which has no parts to set; add the file"),
    ],
)
def test_id_that_no_config_has_then_refused(id_, message):
    with pytest.raises(ValueError, match="--") as refused:
        refuse_unknown_ids(CONFIG, [id_], "--")
    assert message in str(refused.value)


def no_width(target, argument):
    return "takes no width" if (target, argument) == ("DiceLoss", "width") else ""


def test_argument_then_judged_with_the_target_given():
    with pytest.raises(ValueError, match="loss::width: DiceLoss takes no width"):
        refuse_unknown_ids(CONFIG, ["loss::width"], check_argument=no_width)
    given = {"loss::width": 1, "loss::_target_": "WideLoss"}
    refuse_unknown_ids(CONFIG, given, check_argument=no_width)
    refuse_unknown_ids(CONFIG, {"loss": "$@rate", "loss::width": 1}, check_argument=no_width)
    refuse_unknown_ids(CONFIG, ["loss::width"])


def test_all_ids_then_of_dictionaries_and_lists_outer_first():
    assert list(all_ids(CONFIG["part"], "part")) == [
        *("part::_target_", "part::sizes", "part::sizes::0", "part::sizes::0::a")
    ]
