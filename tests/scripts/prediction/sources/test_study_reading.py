"""A study read for its hash and its voxels, with the files released afterwards."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.prediction.predict_options import Options
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.source_access import digest_of, open_source
from scripts.prediction.sources.study_reading import ReadStudy, read_opened, read_study
from scripts.prediction.study_task import FAILED, Task
from tests.scripts.datasets.ircadb.zips import write_files, zip_bytes
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import write_nifti, write_series

SETTINGS = [{"weights": "a"}, {"weights": "b"}]


def task_of(path, tmp_path):
    (source,) = find_sources(path).sources
    return Task(source, tmp_path / "out", Options(Path("bundle")), seconds={"start": 2.0})


@pytest.mark.parametrize("form", ["series", "zip", "volume"])
def test_study_then_its_voxels_hash_and_mark(tmp_path, form):
    path = tmp_path / "in"
    if form == "volume":
        path = write_nifti(tmp_path / "a.nii.gz", abdomen())
    else:
        files = write_series(path, abdomen())
        content = {file.name: file.read_bytes() for file in files}
        path = write_files(tmp_path, {"x.zip": zip_bytes(content)}) if form == "zip" else path
        path = path / "x.zip" if form == "zip" else path
    task = task_of(path, tmp_path)
    study = pickle.loads(pickle.dumps(read_study(task, SETTINGS)))
    assert isinstance(study, ReadStudy)
    np.testing.assert_array_equal(np.sort(study.volume.hu.ravel()), np.sort(abdomen().hu.ravel()))
    assert study.digest == digest_of(task.source)
    assert study.seconds["start"] == 2
    assert study.seconds["read"] > 0
    if form != "volume":
        assert all(each.content is None for each in study.content.slices)
        assert not task.source.contents


def test_slice_damaged_after_listing_then_failed_with_a_neutral_name(tmp_path):
    files = write_series(tmp_path / "Quixotic", abdomen())
    task = task_of(tmp_path / "Quixotic", tmp_path)
    files[3].write_bytes(files[3].read_bytes()[:-100])
    outcome = read_study(task, SETTINGS)
    assert outcome.status == FAILED
    assert "slice-0" in outcome.reason
    assert "Quixotic" not in outcome.reason
    assert files[3].name in outcome.message


def test_series_when_opened_without_its_contents_then_the_same_voxels(tmp_path):
    write_series(tmp_path / "in", abdomen())
    task = task_of(tmp_path / "in", tmp_path)
    with open_source(task.source) as ready:
        study = read_opened(ready, "digest")
    expected = read_study(task, SETTINGS)
    np.testing.assert_array_equal(study.volume.hu, expected.volume.hu)
    assert replace(study.access, content=()) == expected.access


def test_processes_beside_then_neither_torch_nor_monai_is_imported():
    program = (
        "import sys\n"
        "import scripts.prediction.sources.study_reading\n"
        "import scripts.prediction.writing.study_writing\n"
        "from scripts.prediction.writing.products import PRODUCTS\n"
        "for product in PRODUCTS.values():\n"
        "    product.writer()\n"
        "import scripts.prediction.measures.statistics\n"
        "print(*({'torch', 'monai', 'ignite'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
