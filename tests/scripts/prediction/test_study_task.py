"""What becomes of a study that fails: told with file names, recorded without."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.prediction.predict_options import Options
from scripts.prediction.sources.inventory import VOLUME_FILE, Source
from scripts.prediction.sources.source_access import SourceAccess
from scripts.prediction.study_task import FAILED, Task, failed, lost_study


@pytest.fixture
def task(tmp_path):
    source = Source("ct-1", VOLUME_FILE, "in/Quixotic.nii", ())
    return Task(source, tmp_path, Options(Path("bundle")))


def test_failure_then_names_on_the_screen_only(task):
    hidden = {"in/Quixotic/9.dcm": "ct-1/slice-0001"}
    ready = SourceAccess((), "ct-1", {"slice-0001": "9.dcm"}, hidden)
    outcome = failed(task, ready, ValueError("in/Quixotic/9.dcm: cut\nshort"), 1.234)
    assert (outcome.status, outcome.seconds) == (FAILED, 1.23)
    assert outcome.reason == "ct-1/slice-0001: cut short"
    assert outcome.message == "in/Quixotic.nii: 9.dcm: cut short"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            OSError("/in/Quixotic: gone"),
            "its files cannot be read, or the temporary folder is full",
        ),
        (KeyError("Quixotic"), "unexpected KeyError"),
    ],
)
def test_failure_when_the_source_is_not_open_then_a_reason_without_names(task, error, reason):
    outcome = failed(task, None, error, 0)
    assert outcome.reason == reason
    assert "Quixotic" in outcome.message


def test_lost_study_then_its_leftovers_removed(task):
    others = {".part-0123abcd-ct-11", ".part-0123abcd-my-ct-1", "ct-1"}
    for name in (".part-0123abcd-ct-1", ".old-0123abcd-ct-1", *others):
        (task.output / name).mkdir()
    assert lost_study(task, "its process crashed").reason == "its process crashed"
    assert {path.name for path in task.output.iterdir()} == others
    assert task.folder == task.output / "ct-1"
