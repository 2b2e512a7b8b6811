"""The folder of a study: whole, replaced as a whole, and never somebody else's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scripts.prediction.one_series import compute_study, settings_of
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.study_reading import read_study
from scripts.prediction.study_task import FAILED, PREDICTED, Task
from scripts.prediction.writing.study_writing import write_folder, write_study
from scripts.storage.output_folder import OutputError
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import write_nifti

pytestmark = pytest.mark.usefixtures("_at_the_root")


@pytest.fixture
def study(liver_options, tmp_path):
    """A computed study of which the mask is to be written."""
    (source,) = find_sources(write_nifti(tmp_path / "a.nii", abdomen())).sources
    (tmp_path / "out").mkdir()
    task = Task(source, tmp_path / "out", replace(liver_options, products=("mask", "candidates")))
    return compute_study(task, read_study(task, settings_of(task.options)))


def test_study_then_products_and_a_manifest_with_the_seconds_of_its_parts(study):
    outcome = write_study(study)
    assert (outcome.status, outcome.segments) == (PREDICTED, 3)
    assert outcome.seconds >= round(study.spent, 2)
    manifest = json.loads((study.task.folder / "manifest.json").read_text())
    assert [each["name"] for each in manifest["files"]] == ["mask.nii.gz"]
    assert manifest["parts"]["writing"] == manifest["seconds"]["write mask"]
    assert manifest["parts"]["reading"] == pytest.approx(study.seconds["read"])
    assert manifest["peak_memory_mb"] >= study.made["peak_memory_mb"]


def test_products_that_cannot_be_made_of_the_study_then_refused_and_no_folder(study):
    options = replace(study.task.options, products=("seg", "sr", "candidates"))
    outcome = write_study(replace(study, task=replace(study.task, options=options)))
    assert outcome.status == FAILED
    assert "products: none of seg, sr, candidates can be made" in outcome.reason
    assert not study.task.folder.exists()


def test_further_files_when_they_fail_then_the_folder_before_is_kept(study):
    def further(prediction, folder):
        (folder / "steps.csv").write_text("1")
        raise ValueError("no steps")

    write_folder(study, lambda prediction, folder: {"adaptation": prediction.study})
    before = (study.task.folder / "manifest.json").read_bytes()
    assert json.loads(before)["adaptation"] == "a"
    with pytest.raises(ValueError, match="no steps"):
        write_folder(study, further)
    assert (study.task.folder / "manifest.json").read_bytes() == before
    assert [path.name for path in study.task.output.iterdir()] == ["a"]


def test_folder_that_a_process_left_when_it_died_then_removed_by_the_next(study):
    (study.task.output / ".part-0123abcd-a").mkdir()
    write_folder(study)
    assert [path.name for path in study.task.output.iterdir()] == ["a"]


def test_folder_of_somebody_else_then_failed_and_it_is_kept(study):
    study.task.folder.mkdir()
    (study.task.folder / "own.txt").write_text("mine")
    outcome = write_study(study)
    assert outcome.status == FAILED
    assert "was not made by predict" in outcome.reason
    assert (study.task.folder / "own.txt").read_text() == "mine"


def test_output_that_is_gone_then_the_whole_run_is_to_stop(study):
    study.task.output.rmdir()
    with pytest.raises(OutputError, match="cannot write into"):
        write_study(study)
