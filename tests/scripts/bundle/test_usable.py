"""Settings of the right kind that no run can use: refused with the id, and the file they are in."""

import pytest

from tests.bundles.config_files import ROOT
from tests.scripts.bundle.commands import LIVER, LUNG, run_words


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("workflow", "word", "value", "message"),
    [
        ("training", "threshold", "2", "threshold: must be a probability above 0 .* got 2"),
        ("training", "threshold", "0", "threshold: must be a probability"),
        ("training", "class_names", "['background']", "class_names: .* one class besides backg"),
        ("training", "class_names", "['a','b','b']", "class_names: must be different names"),
        ("training", "class_names", "['background','a','b']", "out_channels: 1 does not fit class"),
        ("training", "out_channels", "2", "--out_channels: 2 does not fit class_names"),
        ("evaluating", "section", "Test", "section: must be one of .*validation, test, got 'Test'"),
        ("evaluating", "threshold", "1", "threshold: must be a probability .* got 1"),
    ],
)
def test_setting_that_no_run_can_use_then_refused(monkeypatch, workflow, word, value, message):
    config = {"training": "train", "evaluating": "evaluate"}[workflow]
    words = (workflow, "--config_file", f"{LUNG}/{config}.json")
    with pytest.raises(ValueError, match=message):
        run_words(monkeypatch, *words, f"--{word}", value)


def test_classes_that_fit_then_taken(monkeypatch):
    words = ("training", "--config_file", f"{LUNG}/train.json", "--threshold", "0.4")
    run_words(monkeypatch, *words)
    for file in ("configs/classifiers/crops.json", "configs/data/nodules_and_organs.json"):
        run_words(monkeypatch, "training", "--config_file", f"['{LUNG}/train.json','{file}']")
    words = ("training", "--config_file", f"{LIVER}/train.json")
    run_words(monkeypatch, *words, "--class_names", "['background','liver']")


def test_device_of_a_file_then_checked_as_the_option_is(monkeypatch, write_json):
    files = [f"{LUNG}/train.json", str(write_json("mine.json", device="gpu"))]
    with pytest.raises(ValueError, match=r"mine.json: device: must be cpu, .* got 'gpu'"):
        run_words(monkeypatch, "training", "--config_file", repr(files))
