"""All DICOM objects hold the same segments, and what they leave out is told."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from scripts.datasets.segment_classes import classes_of
from scripts.prediction.dicom.content import dicom_content, segment_label
from scripts.prediction.measures.statistics import measure
from scripts.prediction.network.bundle_parts import BundleParts
from scripts.prediction.predict_options import Options
from scripts.prediction.result import Segment
from scripts.prediction.writing.colours import colours_of
from tests.scripts.prediction.shapes import abdomen, chest
from tests.scripts.prediction.studies import LUNG, ROOT

LESION = Segment(2, "liver tumour", "liver tumour 12", lesion=True)
MEASURED = {"voxels": 5, "longest_axial_diameter_mm": 12.345, "lung_side": "unknown"}


def sure(prediction):
    """Give the lesions confidences that fall with their size's rank, the smallest the highest."""
    segments = [replace(each, probability=each.number / 100) for each in prediction.segments]
    return replace(prediction, segments=tuple(segments), facts={"warnings": []})


@pytest.mark.parametrize(
    ("segment", "measured", "label"),
    [
        (LESION, MEASURED, "liver tumour 12, 12.3 mm"),
        (LESION, {**MEASURED, "lung_side": "left"}, "liver tumour 12, 12.3 mm, left"),
        (LESION, None, "liver tumour 12"),
        (Segment(1, "bone", "bone"), {"voxels": 0, "volume_ml": 0.0}, "bone (not found)"),
        (Segment(1, "bone", "bone"), {"voxels": 3, "volume_ml": 7.26}, "bone, 7.3 ml"),
        (replace(LESION, name="n" * 50), {**MEASURED, "lung_side": "left"}, "n" * 50 + ", 12.3 mm"),
        (replace(LESION, name="n" * 60), MEASURED, "n" * 60),
        (replace(LESION, name="n" * 70), MEASURED, "n" * 61 + "..."),
    ],
)
def test_label_then_name_size_and_place_as_far_as_known_and_as_they_fit(segment, measured, label):
    assert segment_label(segment, measured) == label


def test_lesions_above_the_limit_then_left_out_and_reported():
    prediction = sure(chest(nodules=7))
    statistics = measure(prediction)
    content = dicom_content(prediction, statistics, most=3)
    assert [each.segment.name for each in content.segments] == ["nodule 5", "nodule 6", "nodule 7"]
    assert [each.number for each in content.segments] == [1, 2, 3]
    np.testing.assert_array_equal(content.prediction.mask == 1, prediction.mask == 5)
    assert "3 of 7 lesions, those of the highest confidence, and leave 4 out" in content.note
    assert content.notice == "For research only; the 3 surest of 7 lesions"
    content.number_in(statistics)
    numbers = [one["dicom_segment"] for one in statistics["lesions"]]
    assert numbers == [None, None, None, None, 1, 2, 3]
    assert statistics["dicom_objects"]["lesions_left_out"] == 4


def test_lesions_within_the_limit_then_nothing_to_tell():
    prediction = sure(chest(nodules=7))
    content = dicom_content(prediction, measure(prediction), most=7)
    assert (content.note, content.found, content.lesions) == ("", 7, 7)
    assert content.notice.startswith("Made by software")


def test_lesions_that_are_kept_then_in_their_colours_of_all():
    prediction = sure(chest(nodules=7))
    content = dicom_content(prediction, measure(prediction), most=3)
    assert [each.colour for each in content.segments] == [
        colours_of(prediction)[number] for number in (5, 6, 7)
    ]


def test_organs_then_never_left_out():
    prediction = replace(abdomen(), facts={"warnings": []})
    content = dicom_content(prediction, measure(prediction), most=1)
    assert [each.label for each in content.segments] == [
        *("liver, 629 ml", "bone, 106 ml", "kidney (not found)")
    ]
    assert [each.is_empty for each in content.segments] == [False, False, True]


def test_nothing_found_then_what_was_looked_for_without_a_voxel():
    prediction = chest(nodules=0, facts={"warnings": [], "looked_for": ["nodule"]})
    (segment,) = dicom_content(prediction, measure(prediction)).segments
    assert (segment.number, segment.label, segment.is_empty) == (1, "nodule (none found)", True)


def test_lesion_of_the_shipped_bundle_then_its_zone_and_side():
    with contextlib.chdir(ROOT):
        rules = BundleParts(Options(LUNG)).segments
    prediction = replace(
        sure(chest(nodules=2)), meanings={rule.kind: rule.meaning for rule in rules}
    )
    content = dicom_content(prediction, measure(prediction))
    sites = [[code.meaning for code in each.site if code] for each in content.segments]
    assert sites == [["Middle zone of lung", "Right"], ["Middle zone of lung", "Left"]]


def test_lesion_of_another_organ_then_no_zone_of_the_lung():
    prediction = replace(
        sure(chest(nodules=1)), meanings={"nodule": classes_of(["liver lesion"])["liver lesion"]}
    )
    (segment,) = dicom_content(prediction, measure(prediction)).segments
    assert segment.site == (codes.SCT.Liver, None)


def test_finding_with_another_number_and_a_suspicion_then_the_same_tracking_uid():
    prediction = sure(chest(nodules=2))
    statistics = measure(prediction)
    before = [each.tracking_uid for each in dicom_content(prediction, statistics).segments]
    statistics["lesions"] = [{**one, "suspicion": 0.4} for one in statistics["lesions"]]
    renamed = [replace(one, name=f"{one.name}0") for one in prediction.segments]
    again = dicom_content(replace(prediction, segments=tuple(renamed)), statistics)
    assert [each.tracking_uid for each in again.segments] == before
    assert len(set(before)) == 2


def test_findings_of_other_weights_then_other_tracking_uids():
    prediction = sure(chest(nodules=2))
    statistics = measure(prediction)
    uids = set()
    for weights in ("aa", "bb"):
        prediction.facts["weights_sha256"] = weights
        uids |= {each.tracking_uid for each in dicom_content(prediction, statistics).segments}
    assert len(uids) == 4
