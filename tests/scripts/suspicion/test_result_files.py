"""Files of a comparison."""

import csv

import numpy as np
import pytest
from PIL import Image

from scripts.suspicion.experiment import RADIOMICS, SHAPE, SIZE_ONLY, Experiment
from scripts.suspicion.feature_tables import Store
from scripts.suspicion.radiomics import FEATURES
from scripts.suspicion.result_files import draw, summarise, write_tables


@pytest.fixture
def experiment(nodules, design, rows, tmp_path):
    scans = {nodule.patient: [nodule.scan_id] for nodule in nodules}
    made = Experiment(nodules, design, scans, Store(tmp_path))
    made.__dict__["rows"] = [None, *rows[1:]]
    made.run_outlines(made.rows)
    return made


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_summary_then_figures_with_intervals_and_the_gain_over_size(experiment, nodules):
    found = summarise(experiment, 0)
    assert list(found) == [SIZE_ONLY, SHAPE, RADIOMICS]
    one = found[RADIOMICS]
    assert (one["nodules"], one["left_out"]) == (len(nodules) - 1, 1)
    gain = one["auc"]["value"] - found[SIZE_ONLY]["auc"]["value"]
    assert one["auc_gain_over_size"]["value"] == pytest.approx(gain)
    assert "auc_gain_over_size" not in found[SIZE_ONLY]
    assert sum(group["nodules"] for group in one["calibration"]) == len(nodules) - 1


def test_tables_then_every_nodule_with_fold_and_scores(experiment, nodules, design, tmp_path):
    write_tables(tmp_path, experiment, summarise(experiment, 0))
    listed = read(tmp_path / "per_nodule.csv")
    assert [row["nodule"] for row in listed] == [nodule.id for nodule in nodules]
    assert [int(row["fold"]) for row in listed] == design.folds.tolist()
    assert listed[0][RADIOMICS] == ""
    assert 0 <= float(listed[1][RADIOMICS]) <= 1
    features = read(tmp_path / "features.csv")
    assert list(features[0]) == ["nodule", *FEATURES]
    assert features[0]["volume_mm3"] == ""
    names = {(row["classifier"], row["figure"]) for row in read(tmp_path / "figures.csv")}
    assert (RADIOMICS, "auc_gain_over_size") in names
    assert not (tmp_path / "features_predicted.csv").exists()


def test_picture_then_drawn(experiment, tmp_path):
    draw(experiment.outcomes, tmp_path / "figures.png")
    picture = np.asarray(Image.open(tmp_path / "figures.png").convert("RGB"))
    assert picture.shape[1] == 1200
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
