"""A release rests on an evaluation of the same network on a whole test set, or is refused."""

import json

import pytest
import torch

from scripts.release.evidence import read_evidence
from tests.scripts.release.records import write_evaluation, write_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def read(tmp_path, run, partial=False, **changes):
    evaluation = write_evaluation(tmp_path / "evaluation", run, **changes)
    return read_evidence(run, evaluation, partial_test=partial)


def test_whole_test_set_then_accepted_with_all_records(tmp_path, run):
    evidence = read(tmp_path, run)
    assert evidence.training["device"] == "cpu"
    assert evidence.config["batch_size"] == 32
    assert evidence.stages[0]["seconds"] == 1800
    assert evidence.data["partitions"]["test"] == {"samples": 4, "cases": 4, "patients": 2}
    assert (evidence.case, evidence.missing, evidence.is_external) == ("crop", 0, False)


def test_records_of_the_training_lost_then_empty(tmp_path, run):
    for name in ("training_record", "training_config", "stages"):
        (run / f"{name}.json").unlink()
    evidence = read(tmp_path, run)
    assert (evidence.training, evidence.config, list(evidence.stages)) == ({}, {}, [])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"data": {"model_sha256": "00"}}, "that of another model .sha256 00"),
        ({"data": {"model_sha256": None}}, "that of another model"),
        ({"data": {"section": "validation"}}, "of the partition validation, by which"),
        ({"data": {"section": "volumes/training"}}, "of the partition volumes/training"),
        ({"cases": {"of_training": 2}}, "2 of the 4 evaluated cases are of patients .* trained on"),
        (
            {"cases": {"of_validation": 1}},
            "1 of the 4 evaluated cases are of patients .* selected by",
        ),
        ({"cases": {"of_training": None}}, "does not say which cases the network was trained on"),
        ({"cases": {"of_validation": None}}, "does not say which cases .* selected by"),
        ({"cases": {"of_test": 3, "not_evaluated": 2}}, "lacks 2 cases .*--partial_test true"),
        ({"counts": {"series": 3}}, "lacks 1 cases of the test set"),
        ({"cases": None}, "does not say which cases it evaluated"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:40],
)
def test_evaluation_of_something_else_then_refused(tmp_path, run, changes, match):
    with pytest.raises(ValueError, match=match):
        read(tmp_path, run, **changes)


def test_part_of_the_test_set_when_said_then_accepted_and_counted(tmp_path, run):
    evidence = read(tmp_path, run, partial=True, cases={"of_test": 3, "not_evaluated": 2})
    assert evidence.missing == 2


def test_external_test_set_then_accepted(tmp_path, run):
    evidence = read(tmp_path, run, cases={"of_test": 0, "not_evaluated": 4})
    assert evidence.is_external
    assert evidence.missing == 0


def test_no_evaluation_then_refused_with_the_way_to_one(tmp_path, run):
    with pytest.raises(FileNotFoundError, match="no summary.json in .*evaluate it on a test set"):
        read_evidence(run, tmp_path)


def test_no_training_or_one_without_settings_then_refused(tmp_path, run):
    with pytest.raises(FileNotFoundError, match="run: no trained network"):
        read_evidence(tmp_path / "nowhere", tmp_path)
    torch.save({"w": torch.zeros(1)}, run / "model.pt")
    with pytest.raises(ValueError, match="does not say how it was trained"):
        read_evidence(run, tmp_path)


def test_damaged_summary_then_refused_by_name(tmp_path, run):
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(ValueError, match=r"summary\.json"):
        read_evidence(run, tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps({"figures": {}}))
    with pytest.raises(ValueError, match="does not say which cases it evaluated"):
        read_evidence(run, tmp_path)
