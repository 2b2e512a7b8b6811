import inspect
import json

import pytest

from scripts.__main__ import main
from scripts.datasets.known import KNOWN
from scripts.preparation.prepare_command import command_of, help_of, prepare, signature_of


@pytest.mark.parametrize("name", KNOWN)
def test_help_then_every_option_is_explained(name):
    lines = help_of(name).splitlines()
    for option in signature_of(name).parameters:
        (line,) = [line for line in lines if line.startswith(f"    {option}: ")]
        assert len(line) > len(f"    {option}: ")


def test_options_then_only_those_of_the_kind_of_data_set():
    luna16, ircadb = (set(signature_of(name).parameters) for name in ("luna16", "ircadb"))
    own = {"label", "outlines", "min_readers", "masks", "patients", "empty_share", "crops"}
    assert luna16 - ircadb == own
    assert ircadb - luna16 == {"tumour", "audit", "every", "block"}


def test_defaults_then_those_of_the_data_set():
    luna16, ircadb = (signature_of(name).parameters for name in ("luna16", "ircadb"))
    assert (luna16["slices"].default, ircadb["slices"].default) == ("central", "all")
    assert ircadb["window_hu"].default == (-150, 250)
    assert luna16["output"].default is inspect.Parameter.empty
    assert ircadb["output"].default is None  # an audit needs none


def test_kind_that_is_an_option_then_defaults_that_depend_on_it_are_left_open():
    folder = signature_of("folder").parameters
    assert folder["slices"].default is None
    assert {"every", "empty_share"} <= set(folder)
    assert "layout" not in folder  # a field that is no option


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("luna61", {}, "data set: must be one of .* got 'luna61'; did you mean luna16"),
        ("luna16", {"tumour": True}, "tumour: not an option of prepare luna16, which has source"),
        ("ircadb", {"empty_share": 0.5}, "empty_share: not an option of prepare ircadb"),
        ("folder", {"empty_share": 0.5}, "empty_share: is not for data of kind classes, got 0.5"),
        ("folder", {"kind": "instances", "every": 2}, "every: is not for data of kind instances"),
        ("luna16", {"source": None}, "source: must name a folder"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_option_that_makes_no_sense_then_refused_by_name(tmp_path, name, options, message):
    places = {"source": str(tmp_path), "output": str(tmp_path / "out")}
    with pytest.raises(ValueError, match=message):
        prepare(name, **{**places, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "disc"}, "label: must be one of ball, readers, masks, got 'disc'"),
        ({"label": "readers"}, "outlines: must be given for --label readers"),
        ({"label": "masks", "masks": "none"}, "masks: must be an existing folder, got none"),
        ({"min_readers": 5}, "min_readers: must be a whole number, 1 to 4, got 5"),
        (
            {"split": "random"},
            "must be one of patient, fold, test_only, validation_only, nodule, nodule_fold,",
        ),
        ({"split": "subset", "test_fold": 10}, "test_fold: must be 0 to 9, got 10"),
        ({"slices": "some"}, "slices: must be one of central, all"),
        ({"neighbours": -1}, "neighbours: must be a whole number, at least 0"),
        ({"empty_share": 1}, "empty_share: must be a number from 0 to below 1, got 1"),
        ({"jobs": 0}, "jobs: must be a whole number, at least 1"),
        ({"seed": 0.5}, "seed: must be a whole number"),
        ({"volumes": "maybe"}, "volumes: must be true, false, yes, no, 1 or 0, got 'maybe'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_option_then_refused_by_name(cohort, tmp_path, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        command_of("luna16")(str(cohort.folder), str(tmp_path / "out"), **options)


def test_through_the_command_line_then_exit_code_tells_of_problems(cohort, tmp_path, capsys):
    command = ["prepare", "luna16", "--source", str(cohort.folder), "--jobs", "1"]
    main([*command, "--output", str(tmp_path / "out"), "--volumes", "false", "--seed=2"])
    datalist = json.loads((tmp_path / "out" / "datalist.json").read_text())
    assert datalist["provenance"]["split"]["seed"] == 2
    (cohort.folder / "subset0" / "1.0.raw").unlink()
    with pytest.raises(SystemExit) as stop:
        main([*command, "--output", str(tmp_path / "out")])
    assert stop.value.code == 1
    with pytest.raises(SystemExit) as stop:
        main([*command, "--output", str(tmp_path / "out"), "--split", "subset"])
    assert stop.value.code == 2
    assert "error: split: subset with test_fold 0 needs scans" in capsys.readouterr().err
