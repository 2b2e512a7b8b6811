"""The command: what it writes, prints and refuses."""

import contextlib
import io
import json
from dataclasses import replace

import pytest

from scripts.suspicion.classifier_file import read_classifier
from scripts.suspicion.suspicion_command import suspicion
from tests.scripts.suspicion.planted import planted, write_crops


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of crops as lidc_nodules has them, and one nodule of two readers."""
    first, *others = planted(12, seed=3, limits_mm=(8.0, 10.0))
    nodules = [replace(first, ratings=first.ratings[:2]), *others]
    return write_crops(tmp_path_factory.mktemp("crops"), nodules)


@pytest.fixture(scope="module")
def plain(source, tmp_path_factory):
    """The folder that the command wrote without further options, and what it printed."""
    folder = tmp_path_factory.mktemp("plain")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        suspicion(str(source), str(folder), folds=3)
    return folder, printed.getvalue()


def test_command_then_figures_a_classifier_and_what_was_left_out(plain):
    folder, printed = plain
    assert "1 with few readers" in printed
    assert "radiologists' suspicion, not pathology" in printed
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["nodules"]["few_readers"] == 1
    assert sum(summary["nodules"].values()) == 24
    rows = summary["classifiers"]
    worth = read_classifier(folder / "suspicion.json").worth
    assert worth["auc"] == rows["radiomics"]["auc"]["value"]
    assert worth["auc_of_size_alone"] == rows["size only"]["auc"]["value"]
    assert worth["outlines"] == "annotated"
    assert 100 < worth["volume_mm3"][0] < worth["volume_mm3"][1] < 700
    assert {"figures.csv", "per_nodule.csv", "features.csv", "figures.png"} <= {
        path.name for path in folder.iterdir()
    }


def test_diagnoses_then_every_row_is_compared_with_them_and_nothing_else_changes(
    source, plain, tmp_path, capsys
):
    patients = sorted({nodule.patient for nodule in planted(12, seed=3, limits_mm=(8.0, 10.0))})
    table = tmp_path / "diagnoses.csv"
    lines = [f"{patient},{number % 3}" for number, patient in enumerate(patients)]
    table.write_text("\n".join(["TCIA Patient ID,Diagnosis at the Patient Level", *lines]))
    suspicion(str(source), str(tmp_path / "with"), folds=3, pathology=str(table))
    assert "against patients' diagnoses" in capsys.readouterr().out
    with_, without = (
        json.loads((folder / "summary.json").read_text())
        for folder in (tmp_path / "with", plain[0])
    )
    assert "two years of follow-up" in with_["pathology"]
    for name, row in with_["classifiers"].items():
        compared = row.pop("pathology")
        assert row == without["classifiers"][name]
        assert (compared["benign"], compared["malignant"]) == (4, 4)
        assert 0 <= compared["auc"]["value"] <= 1


def test_crops_then_data_sets_for_a_classifier_and_nothing_else(source, tmp_path):
    suspicion(str(source), str(tmp_path), folds=3, crops=True)
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == [
        *("fold0", "fold1", "fold2", "images")
    ]
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"data_set": "ircadb"}, "data_set: must be one of lidc_nodules, luna16"),
        ({"data_set": "luna16"}, "outlines: luna16 needs"),
        ({"outlines": "x"}, "outlines: of lidc_nodules, ratings are in index.csv"),
        ({"data_set": "outlines", "outlines": "x"}, "outlines: .* source is the database"),
        ({"data_set": "outlines", "crops": True}, "outlines has no CTs"),
        ({"folds": 1}, "folds: must be a whole number"),
        ({"aggregate": "mode"}, "aggregate: must be one of"),
        ({"min_readers": 0}, "min_readers: must be"),
    ],
)
def test_options_when_invalid_then_refused_before_anything_is_read(tmp_path, options, reason):
    with pytest.raises(ValueError, match=reason):
        suspicion(str(tmp_path / "none"), str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()


def test_more_folds_than_patients_then_refused(source, tmp_path):
    with pytest.raises(
        ValueError, match="folds: must be at most the number of patients .*12, got 50"
    ):
        suspicion(str(source), str(tmp_path), folds=50)
