import pytest

from scripts.__main__ import main
from scripts.audit.difference import compare
from tests.scripts.audit.samples import write


@pytest.fixture
def differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(old, new):
        write(tmp_path / "old.json", old)
        write(tmp_path / "new.json", new)
        changes, added = compare(["old.json"], ["new.json"])
        return {change["id"]: change["text"] for change in changes}, added

    return run


def test_two_ways_of_writing_then_no_difference(differ, tmp_path, capsys):
    write(tmp_path / "part.json", {"net": {"a": 1, "b": "@size"}})
    old = {"size": 2, "net": "%part.json::net", "run": ["$@net#b"], "training": "%run"}
    new = {"training": ["$@net::b"], "run": ["$@net::b"], "size": 2.0,
           "net": {"b": "@##size", "a": 1}}  # fmt: skip
    assert differ(old, new) == ({}, [])
    main(["audit", "--diff", "old.json", "new.json"])
    assert "no difference" in capsys.readouterr().out


def test_values_sections_and_targets_then_described_in_words(differ):
    old = {"rate": 0.1, "gone": [1], "loss": {"_target_": "DiceLoss", "sigmoid": True}}
    new = {"rate": 0.2, "come": {"_target_": "Compose", "transforms": ["a"]},
           "loss": {"_target_": "DiceCELoss", "sigmoid": True}}  # fmt: skip
    changes, added = differ(old, new)
    assert changes == {
        "rate": "is 0.2, was 0.1",
        "gone": "removed, was [1]",
        "loss": 'calls "DiceCELoss" instead of "DiceLoss"',
        "come": 'added: Compose(transforms=["a"])',
    }
    assert {(f.level, f.what) for f in added} == {("low", "DiceCELoss"), ("low", "Compose")}


def test_items_of_lists_then_matched_by_what_they_are(differ):
    first = [{"_target_": "A", "x": 1}, {"_target_": "B"}, {"_target_": "C"}]
    second = [{"_target_": "C"}, {"_target_": "A", "x": 2}, {"_target_": "D"}]
    stages = [{"name": "one", "trainable": ["a"]}], [{"name": "one", "trainable": ["b"]}]
    changes, _ = differ({"h": first, "s": stages[0]}, {"h": second, "s": stages[1]})
    assert changes == {
        "h::0": "C moved from index 2 to 0",
        "h::1": "removed from the list: B()",
        "h::1::x": "is 2, was 1",
        "h::2": "added to the list: D()",
        "s::0::trainable": 'is ["b"], was ["a"]',
    }


def test_difference_that_adds_something_risky_then_noted_and_1(differ, capsys):
    _, added = differ({"run": ["$1"]}, {"run": ["$eval('1')"]})
    assert [(f.level, f.place) for f in added] == [("high", "run::0")]
    with pytest.raises(SystemExit) as stop:
        main(["audit", "--diff", "old.json", "new.json"])
    assert stop.value.code == 1
    assert "only the second one runs" in capsys.readouterr().out
    main(["audit", "--diff", "new.json", "old.json"])


def test_several_files_to_a_side_then_composed(differ, tmp_path):
    differ({"a": 1}, {"a": 2})
    assert compare(["old.json", "new.json"], ["new.json"]) == ([], [])


def test_more_than_two_sides_then_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["audit", "--diff", "a.json", "b.json", "c.json"])
    assert stop.value.code == 2
    assert "must be two configs" in capsys.readouterr().err
