"""The CTs of a patient, one after the other: follow-up scans, references."""

from __future__ import annotations

import json

import pydicom
import pytest

from scripts.retraining.adapt.adapt_command import adapt
from tests.scripts.prediction.studies import write_series
from tests.scripts.retraining.adapt.scenes import arguments, save_mask


def test_series_and_a_follow_up_then_both_semiautomatic_and_the_page_says_so(scene, capsys):
    folder, drawn, _ = scene
    write_series(folder / "first", drawn, series="first")
    write_series(folder / "second", drawn, series="second")
    options = arguments(
        scene,
        image=str(folder / "first"),
        follow_ups=str(folder / "second"),
        products="mask,seg,report",
        deep_iterations=20,
    )
    adapt(**options)
    studies = sorted(path for path in (folder / "out").iterdir() if path.is_dir())
    assert len(studies) == 2
    notes = []
    for study in studies:
        segmentation = pydicom.dcmread(study / "segmentation.dcm")
        kinds = {str(one.SegmentAlgorithmType) for one in segmentation.SegmentSequence}
        assert kinds == {"SEMIAUTOMATIC"}
        warnings = json.loads((study / "manifest.json").read_text())["warnings"]
        notes += [text for text in warnings if "hand-drawn" in text]
        assert notes[-1] in (study / "report.html").read_text()
    assert sum("of this scan" in note for note in notes) == 1
    assert sum("of an earlier scan" in note for note in notes) == 1
    adapt(**options)  # replaces its own results
    capsys.readouterr()


def test_reference_of_another_geometry_then_refused(scene):
    folder, drawn, _ = scene
    moved = drawn.affine.copy()
    moved[0, 3] += 20
    save_mask(folder / "moved.nii.gz", drawn.mask, moved)
    with pytest.raises(ValueError, match="reference: must have the geometry of the image"):
        adapt(**arguments(scene, reference=str(folder / "moved.nii.gz"), deep_iterations=1))
