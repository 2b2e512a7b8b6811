"""Prepared data sets joined to one datalist."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scripts.datasets.datalist import load_datalist
from scripts.preparation.domain_lists import join_domains, named_paths


def write_list(folder, kind, **patients):
    """A datalist of one slice for each patient: partition -> names."""
    folder.mkdir()
    np.save(folder / "image.npy", np.zeros((1, 4, 4), np.int16))
    np.save(folder / "label.npy", np.zeros((1, 4, 4), np.uint8))
    content = {
        name: [
            {
                "image": "image.npy",
                "label": "label.npy",
                "series_uid": f"{folder.name}.{patient}",
                "patient_id": patient,
                "rows": [0],
                "slice": 0,
                "affine_lps": np.eye(4).tolist(),
                "case": 7,
            }
            for patient in patients.get(name, [])
        ]
        for name in ("training", "validation", "test")
    }
    path = folder / "datalist.json"
    path.write_text(json.dumps({"name": folder.name, "kind": kind, **content}))
    return path


@pytest.fixture
def lists(tmp_path):
    first = write_list(tmp_path / "luna16", "instances", training=["A", "B"], test=["C"])
    second = write_list(tmp_path / "ircadb", "classes", training=["D"], validation=["E"])
    return first, second


def test_lists_then_partitions_stay_and_each_sample_says_its_domain(lists, tmp_path, capsys):
    join_domains(f"nodules={lists[0]},organs={lists[1]}", str(tmp_path / "both"))
    path = tmp_path / "both" / "datalist.json"
    training = load_datalist(path, "training")
    named = [(one["domain"], one["patient_id"], one["case"]) for one in training]
    assert named == [("nodules", "A", 0), ("nodules", "B", 1), ("organs", "D", 2)]
    assert [one["patient_id"] for one in load_datalist(path, "test")] == ["C"]
    content = json.loads(path.read_text())
    assert content["kind"] == "domains"
    assert content["domains"]["organs"]["kind"] == "classes"
    assert "training: 2 nodules, 1 organs" in capsys.readouterr().out


def test_patient_in_two_partitions_then_refused(lists, tmp_path):
    other = write_list(tmp_path / "other", "classes", test=["A"])
    with pytest.raises(ValueError, match=r"1 patients are in several.* test and training"):
        join_domains(f"nodules={lists[0]},organs={other}", str(tmp_path / "both"))


@pytest.mark.parametrize("words", ["nodules=a.json", "a=b.json,a=c.json", "a.json,b.json", ""])
def test_words_that_name_no_domains_then_refused(words):
    with pytest.raises(ValueError, match=r"domains: must be two or more of name=datalist\.json"):
        named_paths(words)
