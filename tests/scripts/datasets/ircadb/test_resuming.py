import json
import os
from zipfile import ZipFile

import numpy as np
import pytest

from scripts.datasets.ircadb.ircadb_dataset import Ircadb
from scripts.preparation.cohort import prepare_cohort
from scripts.preparation.prepare_command import command_of
from tests.scripts.datasets.ircadb.preparing import request_for, run


def test_second_run_then_nothing_is_read_again(source, monkeypatch):
    first = prepare_cohort(request_for(source))
    monkeypatch.setattr(Ircadb, "read", None)
    second = prepare_cohort(request_for(source))
    assert (first.reused, second.reused) == (0, 4)
    assert first.lists == second.lists
    assert first.mean == second.mean


@pytest.mark.parametrize("change", ["options", "source", "touched", "lost-array", "half-written"])
def test_something_changed_then_made_anew(source, change):
    prepare_cohort(request_for(source))
    folder = source.parent / "out" / "scans" / "3Dircadb1.1"
    options = {"tumour": True} if change == "options" else {}
    if change == "source":
        with ZipFile(source / "3Dircadb1.1" / "MASKS_DICOM.zip", "a") as archive:
            archive.comment = b"another release"
    if change == "touched":
        os.utime(source / "3Dircadb1.1" / "MASKS_DICOM.zip", (1, 1))
    if change == "lost-array":
        (folder / "label.npy").unlink()
    if change == "half-written":
        (folder / "scan.json").unlink()
    report = prepare_cohort(request_for(source, **options))
    assert report.reused == {"options": 0, "touched": 4}.get(change, 3)
    assert (folder / "label.npy").is_file()


def test_files_of_a_killed_run_then_gone_when_the_patient_is_made(source):
    output = source.parent / "out"
    left = [
        output / "scans" / "3Dircadb1.1" / ".part-0a-label.npy",
        output / "volumes" / ".part-0a-3Dircadb1.1_image.nii.gz",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    prepare_cohort(request_for(source))
    assert not [path for path in left if path.exists()]


def test_disk_full_then_one_clear_line_and_the_same_command_goes_on(source, monkeypatch):
    saved = np.save

    def full(path, array):
        if "3Dircadb1.3" in str(path):
            raise OSError(28, "No space left on device")
        saved(path, array)

    with monkeypatch.context() as patch:
        patch.setattr("scripts.preparation.cases.np.save", full)
        with pytest.raises(OSError, match="cannot write into .*No space left"):
            prepare_cohort(request_for(source))
    assert not (source.parent / "out" / "datalist.json").exists()
    assert prepare_cohort(request_for(source)).reused == 2


def test_two_processes_then_the_same_datalist(source):
    one, _ = run(source)
    again = source.parent / "again"
    command_of("ircadb")(str(source), str(again), jobs=2)
    two = json.loads((again / "datalist.json").read_text())
    assert {k: v for k, v in one.items() if k != "provenance"} == {
        k: v for k, v in two.items() if k != "provenance"
    }


def test_output_that_cannot_be_written_then_refused(source):
    (source.parent / "out").write_text("a file")
    with pytest.raises(OSError, match="output: cannot write into"):
        prepare_cohort(request_for(source))
