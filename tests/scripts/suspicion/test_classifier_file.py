"""The file of a classifier: read as written, or refused."""

import json

import numpy as np
import pytest

from scripts.suspicion.classifier_file import read_classifier, write_classifier
from scripts.suspicion.cross_validation import train_classifier
from scripts.suspicion.radiomics import FEATURES, predictors

WORTH = {"auc": 0.9, "auc_interval_95": [0.8, 0.95], "nodules": 60, "patients": 30}


@pytest.fixture
def written(design, rows, nodules, tmp_path):
    table = predictors(rows, list(FEATURES))
    model = train_classifier([table], design.labels, design.patients, seed=1)
    path = tmp_path / "suspicion.json"
    write_classifier(path, model, WORTH, [nodule.scan_id for nodule in nodules])
    return path, model.probabilities([table])


def test_file_then_the_same_suspicion_as_the_trained_classifier(written, nodules):
    path, expected = written
    classifier = read_classifier(path)
    assert classifier.worth == WORTH
    for number in (0, 5):
        nodule = nodules[number]
        found = classifier.suspicion(nodule.hu, nodule.mask, nodule.spacing_mm)
        assert found == pytest.approx(expected[number], abs=1e-9)


def test_file_then_names_no_scan_but_knows_its_own(written, nodules):
    path, _ = written
    content = json.loads(path.read_text())
    assert all(case != nodules[0].scan_id and len(case) == 16 for case in content["cases"])
    assert "not a diagnosis" in content["meaning"]
    classifier = read_classifier(path)
    assert classifier.has_seen(["other", nodules[0].scan_id])
    assert not classifier.has_seen(["other"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c.update(kind="other"), "must be the suspicion.json .* got kind 'other'"),
        (lambda c: c["features"][0].update(name="age"), "does not measure: age"),
        (lambda c: c["features"][0].update(weight=None), "is damaged"),
        (lambda c: c["features"][0].update(scale=0.0), "is damaged"),
        (lambda c: c.pop("intercept"), "is damaged: KeyError"),
        (lambda c: c.update(intercept=float("nan")), "numbers must be finite"),
    ],
)
def test_file_when_damaged_then_refused(written, change, reason):
    path, _ = written
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=reason):
        read_classifier(path)


def test_file_when_absent_then_the_command_that_writes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="`python -m scripts suspicion` writes"):
        read_classifier(tmp_path / "none.json")


def test_suspicion_when_tiny_then_refused(written):
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = True
    with pytest.raises(ValueError, match="too small"):
        read_classifier(written[0]).suspicion(np.zeros(mask.shape), mask, (1, 1, 1))
