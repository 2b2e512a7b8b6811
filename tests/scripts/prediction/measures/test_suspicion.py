"""Suspicion of each nodule, however the source stores it."""

import csv
import json

import numpy as np
import pytest

from scripts.prediction.measures.statistics import CSV_COLUMNS, measure, write_statistics
from scripts.prediction.measures.suspicion import add_suspicion, classifier_of
from scripts.prediction.report.page_text import definition_rows, tables
from scripts.suspicion.classifier_file import SuspicionClassifier, read_classifier, write_classifier
from scripts.suspicion.logistic import Columns, Logistic
from scripts.suspicion.radiomics import FEATURES
from tests.scripts.prediction.shapes import ORDERS, ellipsoid, lps_affine, nodule, predict

AFFINE = lps_affine((0.8, 0.8, 1.25), (-20.0, 12.0, -300.0))
SHAPE = (30, 44, 52)


def write(path, weight=-4.0, scans=("1.2",), volumes=(10.0, 9000.0)):
    """A classifier that finds what is not round suspicious."""
    names = list(FEATURES)
    weights = np.zeros(len(names))
    weights[names.index("sphericity")] = weight
    columns = Columns(np.full(len(names), 0.9), np.full(len(names), 0.1))
    worth = {"auc": 0.91, "auc_interval_95": [0.88, 0.94], "nodules": 500, "patients": 300}
    worth |= {"outlines": "annotated", "volume_mm3": list(volumes)}
    write_classifier(path, Logistic((columns,), weights, 0.0, 1.0), worth, scans)
    return path


@pytest.fixture
def classifier(tmp_path) -> SuspicionClassifier:
    return read_classifier(write(tmp_path / "suspicion.json"))


def two_nodules(order=((0, 1, 2), (1, 1, 1))):
    """A ball and a long ellipsoid."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[ellipsoid(SHAPE, AFFINE, (-5, 25, -283), (5, 5, 5))] = 1
    mask[ellipsoid(SHAPE, AFFINE, (10, 30, -283), (3, 11, 3))] = 2
    hu = np.where(mask > 0, 30, -850).astype(np.int16)
    return predict(hu, mask, AFFINE, [nodule(1), nodule(2)], order=order)


@pytest.mark.parametrize("order", ORDERS[::11], ids=str)
def test_nodules_then_a_suspicion_each_in_any_index_order(classifier, order):
    prediction = two_nodules(order)
    statistics = measure(prediction)
    assert add_suspicion(statistics, prediction, classifier) is None
    ball, long = (one["suspicion"] for one in statistics["lesions"])
    assert 0 <= ball < 0.1 < 0.5 < long <= 1
    assert statistics["suspicion"]["auc"] == 0.91
    assert "not a diagnosis" in statistics["suspicion"]["meaning"]
    assert "AUC on other patients 0.91 (0.88 to 0.94)" in statistics["definitions"]["suspicion"]


def test_nodule_when_tiny_then_null_and_the_others_measured(classifier):
    prediction = two_nodules()
    prediction.mask[prediction.mask == 1] = 0
    prediction.mask[2, 2, 2] = 1
    statistics = measure(prediction)
    add_suspicion(statistics, prediction, classifier)
    assert [one["suspicion"] is None for one in statistics["lesions"]] == [True, False]


def test_nodule_larger_than_all_of_the_training_then_null(tmp_path):
    small = read_classifier(write(tmp_path / "small.json", volumes=(10.0, 480.0)))
    prediction = two_nodules()  # of 524 and 415 mm3
    statistics = measure(prediction)
    add_suspicion(statistics, prediction, small)
    assert [one["suspicion"] is None for one in statistics["lesions"]] == [True, False]


def test_scan_of_the_training_then_a_warning(classifier):
    prediction = two_nodules()
    warning = add_suspicion(measure(prediction), prediction, classifier, ["x", "1.2"])
    assert warning == "the suspicion classifier was trained on this scan"


def test_files_and_page_then_have_it_and_without_it_are_as_before(classifier, tmp_path):
    prediction = two_nodules()
    statistics = measure(prediction)
    write_statistics(statistics, tmp_path / "without")
    assert "suspicion" not in (tmp_path / "without" / "statistics.json").read_text()
    header = (tmp_path / "without" / "statistics.csv").read_text().splitlines()[0]
    assert tuple(header.split(",")) == CSV_COLUMNS
    add_suspicion(statistics, prediction, classifier)
    write_statistics(statistics, tmp_path)
    with (tmp_path / "statistics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    written = json.loads((tmp_path / "statistics.json").read_text())
    assert [float(row["suspicion"]) for row in rows] == [
        one["suspicion"] for one in written["lesions"]
    ]
    assert rows[0]["suspicion_model"] == classifier.name
    (table,) = tables(statistics, with_side=False)
    place = table.head.index("Suspicion (0\u20131), no diagnosis")
    assert table.rows[1].cells[place - 1].text == f"{written['lesions'][1]['suspicion']:.2f}"
    (row,) = [r for r in definition_rows(statistics, with_side=False) if r.term == "Suspicion"]
    assert "imitation of opinions" in row.values[0]


def test_classifier_of_a_process_then_read_once(tmp_path):
    path = write(tmp_path / "s.json")
    assert classifier_of(path) is classifier_of(path)
