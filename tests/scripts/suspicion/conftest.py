"""Planted nodules, measured once for all tests."""

from __future__ import annotations

import numpy as np
import pytest

from custom_nets.encoders import ENCODERS
from scripts.suspicion.cross_validation import Design, patient_folds
from scripts.suspicion.labels import LabelRule
from scripts.suspicion.radiomics import radiomics
from tests.custom_nets.tiny import TinyEncoder
from tests.scripts.suspicion.planted import planted


@pytest.fixture
def tiny_encoder(monkeypatch):
    """Name of an encoder of a few channels, known during one test."""
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    return TinyEncoder.name


@pytest.fixture(scope="session")
def nodules():
    """Nodules of two classes with equal sizes, with a label each."""
    rule = LabelRule()
    return [nodule for nodule in planted(48) if rule.label(nodule.ratings) is not None]


@pytest.fixture(scope="session")
def rows(nodules):
    """Their radiomics."""
    return [radiomics(each.hu, each.mask, each.spacing_mm) for each in nodules]


@pytest.fixture(scope="session")
def design(nodules):
    """Their labels, and five folds by patient."""
    labels = np.array([LabelRule().label(nodule.ratings) for nodule in nodules], bool)
    patients = [nodule.patient for nodule in nodules]
    folds = patient_folds(patients, sorted(set(patients)), folds=5, seed=0)
    return Design(labels, np.array(patients), folds)
