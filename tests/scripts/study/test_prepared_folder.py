"""A prepared folder is described by its datalist."""

import json
from pathlib import Path

import pytest

from scripts.study.prepared_folder import read_prepared_folder
from tests.scripts.study.studies import write_datalist


def test_datalist_then_data_set_labels_and_split(tmp_path):
    found = read_prepared_folder(Path(write_datalist(tmp_path)))
    assert (found.data_set, found.kind, found.labels) == ("luna16", "instances", ("ball",))
    assert (found.split, found.seed) == ("patient", 5)


def test_datalist_without_its_preparation_then_refused_with_what_is_missing(tmp_path):
    file = Path(write_datalist(tmp_path)) / "datalist.json"
    content = json.loads(file.read_text())
    del content["provenance"]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="lacks 'provenance', which describes how it was prepared"):
        read_prepared_folder(file.parent)
