"""What a DICOM object says of its maker, whatever the facts hold."""

from __future__ import annotations

from importlib import metadata

from scripts.prediction.dicom import algorithm
from scripts.prediction.dicom.algorithm import SOFTWARE, Algorithm, long_string


def test_facts_then_bundle_version_and_start_of_the_hash():
    facts = {"bundle": "liver", "version": "1.2", "weights_sha256": "ab" * 32}
    assert Algorithm.of(facts) == Algorithm(
        "liver", "1.2", "ab" * 8, metadata.version("transfer-ct-bundles")
    )


def test_no_facts_then_unknown_and_nothing_made_up():
    made = Algorithm.of({"version": None})
    assert (made.name, made.version, made.weights) == ("unknown",) * 3


def test_metadata_instead_of_a_name_then_read():
    made = Algorithm.of({"metadata": {"name": "Nodules", "version": "0.3"}, "bundle": None})
    assert (made.name, made.version) == ("Nodules", "0.3")


def test_weights_of_an_ensemble_then_the_start_of_each_hash():
    hashes = [letter * 64 for letter in "abcde"]
    weights = Algorithm.of({"weights_sha256": hashes}).weights
    assert weights.split() == [letter * 11 for letter in "abcde"]
    assert len(weights) <= 64


def test_software_not_installed_then_unknown(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(algorithm, "version", missing)
    assert Algorithm.of({}).software_version == "unknown"
    assert SOFTWARE == "transfer-ct-bundles"


def test_text_that_dicom_cannot_hold_then_made_to_fit():
    assert long_string("a\\b\nc é") == "a/b?c é"
    assert long_string("x" * 64) == "x" * 64
    assert long_string("x" * 65) == "x" * 61 + "..."
    assert long_string("word " * 20) == "word " * 11 + "word..."
    assert long_string("  ") == "unknown"
