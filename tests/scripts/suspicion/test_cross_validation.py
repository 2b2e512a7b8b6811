"""Nested cross-validation: patients apart, and figures of planted and of shuffled classes."""

import io
import sys

import numpy as np
import pytest

from scripts.preparation.splits import assign_folds
from scripts.suspicion.cross_validation import (
    Design,
    cross_validate,
    patient_folds,
    train_classifier,
)
from scripts.suspicion.figures import auc
from scripts.suspicion.radiomics import FEATURES, SIZE, predictors


def test_folds_then_those_of_prepare_and_one_for_each_patient():
    everyone = [f"p{n}" for n in range(13)]
    patients = [*everyone[:6], *everyone[:6]]
    folds = patient_folds(patients, everyone, folds=4, seed=3)
    assert folds[:6].tolist() == folds[6:].tolist()
    for fold in range(4):
        assigned = assign_folds(everyone, folds=4, test_fold=fold, seed=3)
        tested = {p for p, number in zip(patients, folds, strict=True) if number == fold}
        assert tested == {p for p in patients if assigned[p] == "test"}


def test_design_when_a_patient_is_in_two_folds_then_refused_by_name():
    with pytest.raises(ValueError, match="patients b are in several folds"):
        Design(np.array([True, False, True]), np.array(["a", "b", "b"]), np.array([0, 0, 1]))


def test_planted_class_then_found_by_radiomics_and_not_by_size(design, rows):
    size, all_features = ([SIZE], list(FEATURES))
    tables = [predictors(rows, names) for names in (size, all_features)]
    areas = [auc(design.scored(cross_validate(design, [table]))).value for table in tables]
    assert 0.45 <= areas[0] <= 0.55
    assert areas[1] >= 0.85


def test_shuffled_labels_then_nothing_is_found(design, rows):
    table = predictors(rows, list(FEATURES))
    shuffled = [design.shuffled(seed) for seed in range(10)]
    areas = [auc(d.scored(cross_validate(d, [table]))).value for d in shuffled]
    assert 0.45 <= np.mean(areas) <= 0.55


def test_scores_then_of_a_classifier_without_the_labels_of_its_test_patients(design, rows):
    table = predictors(rows, list(FEATURES))
    first = design.folds == 0
    turned = Design(design.labels ^ first, design.patients, design.folds)
    same, other = (cross_validate(each, [table]) for each in (design, turned))
    np.testing.assert_array_equal(same[first], other[first])
    assert (same[~first] != other[~first]).all()


def test_tables_by_fold_then_each_fold_has_its_own(design):
    count, rng = len(design.labels), np.random.default_rng(0)
    noise = rng.normal(size=(count, 2))
    telling = noise + 5.0 * design.labels[:, None]
    tables = {fold: [telling if fold == 1 else noise] for fold in design.numbers}
    scored = design.scored(cross_validate(design, tables))
    assert auc(scored.part(design.folds == 1)).value > 0.95
    assert auc(scored.part(design.folds != 1)).value < 0.8


def test_training_when_of_one_class_then_refused():
    table = np.arange(6.0)[:, None]
    with pytest.raises(ValueError, match="labels: must be of both kinds"):
        train_classifier([table], np.ones(6, bool), np.array(list("abcdef")), seed=0)


def test_training_when_each_class_is_that_of_one_patient_then_refused_with_what_to_do():
    table, labels = np.arange(6.0)[:, None], np.array([True] * 3 + [False] * 3)
    message = "patients: a and b are the only ones .* give more patients, or more --folds"
    with pytest.raises(ValueError, match=message):
        train_classifier([table], labels, np.array(list("aaabbb")), seed=0)
    labels[0] = False  # one patient with nodules of both
    assert train_classifier([table], labels, np.array(list("aaabbb")), seed=0).strength > 0


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def test_title_then_the_progress_over_the_folds_is_shown_under_it(design, rows, monkeypatch):
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    table = predictors(rows, [SIZE])
    silent = cross_validate(design, [table])
    assert screen.getvalue() == ""
    shown = cross_validate(design, [table], title="cross-validation: size")
    assert np.array_equal(silent, shown)
    assert "cross-validation: size: 100%" in screen.getvalue()
