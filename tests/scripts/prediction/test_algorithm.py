"""What a DICOM object says of its maker, whatever the facts hold."""

from __future__ import annotations

from importlib import metadata

from scripts.prediction.algorithm import SOFTWARE, Algorithm, long_string


def test_facts_then_bundle_version_and_start_of_the_hash():
    facts = {"bundle": "liver", "version": "1.2", "weights_sha256": "ab" * 32}
    assert Algorithm.of(facts) == Algorithm(
        "liver", "1.2", "ab" * 8, metadata.version("transfer-ct-bundles")
    )


def test_no_facts_then_unknown_and_nothing_made_up():
    made = Algorithm.of({"version": None})
    assert (made.name, made.version, made.weights) == ("unknown",) * 3


def test_software_not_installed_then_unknown(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert Algorithm.of({}).software_version == "unknown"
    assert SOFTWARE == "transfer-ct-bundles"


def test_text_that_dicom_cannot_hold_then_made_to_fit():
    assert long_string("a\\b\nc é") == "a/b?c ?"
    assert long_string("x" * 65) == "x" * 64
    assert long_string("  ") == "unknown"
