"""Several studies: the next is read and the last written elsewhere, and nothing else changes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scripts.prediction import overlap
from scripts.prediction.one_series import predict_study
from scripts.prediction.overlap import predict_overlapped
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.study_reading import read_study
from scripts.prediction.study_task import FAILED, KEPT, PREDICTED, Task
from scripts.running.workers import Companion
from scripts.storage.output_folder import OutputError
from tests.scripts.prediction.dying import die, starve
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import write_nifti, write_series

pytestmark = pytest.mark.usefixtures("_at_the_root")
PRODUCTS = ("mask", "seg", "statistics")


@pytest.fixture
def tasks(liver_options, tmp_path):
    """Two volume files, a damaged one between them, and a series."""
    whole = write_nifti(tmp_path / "in" / "a.nii", abdomen()).read_bytes()
    (tmp_path / "in" / "b.nii").write_bytes(whole[:2000])
    (tmp_path / "in" / "c.nii").write_bytes(whole)
    write_series(tmp_path / "in" / "Quixotic", abdomen())
    (tmp_path / "out").mkdir()
    options = replace(liver_options, products=PRODUCTS)
    sources = sorted(find_sources(tmp_path / "in").sources, key=lambda source: source.name)
    return [Task(source, tmp_path / "out", options, seconds={"start": 1.5}) for source in sources]


def test_studies_overlapped_then_as_one_after_another_and_kept_when_repeated(tasks, tmp_path):
    outcomes = {each.study: each for each in predict_overlapped(tasks)}
    assert sorted(outcomes) == sorted(task.source.name for task in tasks)
    (tmp_path / "alone").mkdir()
    for task in tasks:
        alone = replace(task, output=tmp_path / "alone")
        expected, outcome = predict_study(alone), outcomes[task.source.name]
        assert replace(outcome, seconds=0) == replace(expected, seconds=0)
        if outcome.status == FAILED:
            assert (task.source.name, "truncated" in outcome.reason) == ("b", True)
            continue
        for name in ("mask.nii.gz", "statistics.json", "statistics.csv"):
            assert (task.folder / name).read_bytes() == (alone.folder / name).read_bytes()
        manifests = [json.loads((t.folder / "manifest.json").read_text()) for t in (task, alone)]
        assert manifests[0]["fingerprint"] == manifests[1]["fingerprint"]
        assert list(manifests[0]["seconds"]) == list(manifests[1]["seconds"])
        assert manifests[0]["parts"]["start"] == 1.5
        assert all(manifests[0]["parts"].values()), manifests[0]["parts"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == set(outcomes) - {"b"}
    again = {each.study: each.status for each in predict_overlapped(tasks)}
    assert set(again.values()) == {KEPT, FAILED}


def test_large_studies_then_each_read_when_the_one_before_is_written(tasks, monkeypatch):
    monkeypatch.setattr(overlap, "MOST_BESIDE", 1000)
    monkeypatch.setattr(Companion, "begin", None)
    outcomes = predict_overlapped([tasks[0], *tasks[2:]])
    assert [each.status for each in outcomes] == [PREDICTED] * 3


def test_output_that_cannot_be_written_then_the_run_stops(tasks, tmp_path):
    gone = [replace(task, output=tmp_path / "gone") for task in tasks[::2]]
    with pytest.raises(OutputError, match="cannot write into"):
        list(predict_overlapped(gone))


def test_process_that_dies_in_writing_then_its_study_failed_and_the_others_predicted(
    tasks, monkeypatch
):
    (tasks[0].output / f".part-0123abcd-{tasks[0].source.name}").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(overlap, "write_study", die)
        outcomes = predict_overlapped([tasks[0], *tasks[2:]])
        lost = next(outcomes)
    assert (lost.study, lost.status) == ("a", FAILED)
    assert lost.reason.startswith("the process that wrote it was killed (SIGKILL)")
    assert not list(tasks[0].output.glob(".part-*"))
    assert [each.status for each in outcomes] == [PREDICTED, PREDICTED]


def test_process_that_dies_in_reading_then_its_study_failed_and_the_others_predicted(
    tasks, monkeypatch
):
    def once(reader, task):
        with monkeypatch.context() as patch:
            patch.setattr(overlap, "read_study", die if task is tasks[2] else read_study)
            ahead(reader, task)

    ahead = overlap._read_ahead
    monkeypatch.setattr(overlap, "_read_ahead", once)
    outcomes = {each.study: each for each in predict_overlapped([tasks[0], *tasks[2:]])}
    lost = outcomes.pop("c")
    assert lost.reason.startswith("the process that read it was killed (SIGKILL)")
    assert {each.status for each in outcomes.values()} == {PREDICTED}


def test_study_too_large_to_be_handed_over_then_it_alone_failed(tasks):
    with Companion() as companion:
        companion.begin(starve)
        outcome = overlap._result(companion, tasks[0], "read")
    assert (outcome.study, outcome.status) == ("a", FAILED)
    assert outcome.reason == "not enough memory for this CT: 3 GB"
    assert outcome.message.startswith(tasks[0].source.location)
