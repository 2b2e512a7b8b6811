import inspect

import pytest

from scripts.__main__ import resolve
from scripts.commands import COMMANDS, EVERY, Command, is_present, sketch


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_sketch_of_a_command_then_the_signature_and_text_of_its_function(words):
    sketched, function = sketch(COMMANDS[words].target), resolve(COMMANDS[words].target)
    ours, theirs = (inspect.signature(each).parameters for each in (sketched, function))
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]
    assert inspect.getdoc(sketched) == inspect.getdoc(function)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_summary_then_one_short_line(words):
    summary = COMMANDS[words].summary
    assert 20 < len(summary) <= 80
    assert "\n" not in summary


def test_commands_then_all_that_there_are_in_the_repository():
    assert COMMANDS == EVERY
    assert not is_present(Command("scripts.nowhere.nothing:run", ""))


def test_module_of_a_command_then_the_part_before_the_colon():
    assert Command("scripts.demo.demo:demo", "").module == "scripts.demo.demo"


def test_sketch_when_the_function_does_not_exist_then_both_are_named():
    with pytest.raises(LookupError, match="scripts.commands defines no function nothing"):
        sketch("scripts.commands:nothing")


def test_sketch_when_the_module_does_not_exist_then_it_is_named():
    with pytest.raises(LookupError, match="no module scripts.nowhere"):
        sketch("scripts.nowhere:run")


def test_sketch_when_called_then_it_does_nothing(tmp_path):
    sketch("scripts.phantom.chest.luna16:make_cohort")(str(tmp_path / "cohort"))
    assert not list(tmp_path.iterdir())
