"""A TID 1500 report holds the figures of statistics.json and refers to the segments of the SEG."""

from __future__ import annotations

from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from scripts.datasets.segment_classes import meaning_of
from scripts.prediction.dicom.content import dicom_content
from scripts.prediction.dicom.measurement_report import FIGURES, SUSPICION, write_report
from scripts.prediction.dicom.segmentation_object import write_segmentation
from scripts.prediction.measures.statistics import measure
from scripts.prediction.result import Segment
from scripts.prediction.writing.limits import LimitError
from tests.scripts.prediction.dicom_source import (
    SHAPE,
    content_of,
    errors_of,
    predicted,
    two_organs,
    write_series,
)
from tests.scripts.prediction.shapes import chest
from tests.scripts.prediction.studies import PERSON
from tests.scripts.prediction.studies import write_series as write_study

CONCEPTS = {
    (figure.name.value, figure.derivation and figure.derivation.value, figure.unit.value): figure
    for figure in FIGURES
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("source") / "ct")


@pytest.fixture(scope="module")
def nodules(tmp_path_factory):
    """Three nodules with confidence and suspicion on a DICOM chest, and their statistics."""
    drawn = chest(nodules=3)
    write_study(place := tmp_path_factory.mktemp("nodules") / "ct", drawn)
    segments = [
        replace(each, probability=0.9 - each.number / 7, mean_probability=0.3)
        for each in drawn.segments
    ]
    result = predicted(place, drawn.mask, segments, lungs=drawn.lungs)
    statistics = measure(result)
    for lesion, suspicion in zip(statistics["lesions"], (0.25, 0.125, None), strict=True):
        lesion["suspicion"] = suspicion
    return result, statistics


def written(content, folder):
    write_segmentation(content, folder / "segmentation.dcm")
    write_report(content, folder / "sr.dcm")
    return folder / "sr.dcm"


def groups_of(path):
    return highdicom.sr.srread(path).content.get_volumetric_roi_measurement_groups()


def figures_of(group):
    """Read a group's measurements: key of the statistics -> value, by concept and unit alone."""
    found = {}
    for item in group.get_measurements():
        derivation = item.derivation and item.derivation.value
        found[CONCEPTS[item.name.value, derivation, item.unit.value].key] = item.value
    return found


def expected_of(one):
    return {f.key: one[f.key] for f in FIGURES if one.get(f.key) is not None}


@pytest.mark.parametrize("form", ["binary", "labelmap"])
def test_report_of_nodules_then_the_figures_of_the_statistics(nodules, tmp_path, form):
    result, statistics = nodules
    path = written(dicom_content(result, statistics, form=form), tmp_path)
    groups = groups_of(path)
    assert len(groups) == 3
    for group, lesion in zip(groups, statistics["lesions"], strict=True):
        assert figures_of(group) == expected_of(lesion)
        assert group.finding_type == codes.SCT.Nodule
        assert group.finding_category == codes.SCT.MorphologicallyAbnormalStructure
        (site,) = group.finding_sites
        assert site.value == codes.SCT.MiddleZoneOfLung
        assert site.laterality.meaning.lower() == lesion["lung_side"]
    assert len(figures_of(groups[0])) == 8
    # the validator of 2022 does not know the SOP class of label maps
    unknown = "Shall not be present for Referenced SOP Class that is not segmentation"
    errors = [each for each in errors_of(path) if form == "binary" or unknown not in each]
    assert not errors


def test_groups_then_refer_to_their_segments_and_are_tracked_like_them(nodules, tmp_path):
    path = written(dicom_content(*nodules), tmp_path)
    segmentation = pydicom.dcmread(tmp_path / "segmentation.dcm")
    for group, segment in zip(groups_of(path), segmentation.SegmentSequence, strict=True):
        assert group.reference_type == codes.DCM.ReferencedSegment
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == segmentation.SOPInstanceUID
        assert reference.referenced_sop_class_uid == segmentation.SOPClassUID
        assert reference[0].referenced_segment_numbers == [segment.SegmentNumber]
        assert group.tracking_uid == segment.TrackingUID
        assert group.tracking_identifier == segment.TrackingID


def test_report_then_of_a_device_with_its_algorithm_and_verified_by_nobody(nodules, tmp_path):
    report = highdicom.sr.srread(written(dicom_content(*nodules), tmp_path))
    assert report.SOPClassUID == Comprehensive3DSRStorage
    (observer,) = report.content.get_observer_contexts()
    device = observer.observer_identifying_attributes
    assert observer.observer_type == codes.DCM.Device
    assert (device.name, device.manufacturer_name) == (
        *("liver_ct_segmentation", "transfer-ct-bundles"),
    )
    assert device.serial_number == "0af1" * 4
    texts = str(report)
    assert all(word in texts for word in ("Algorithm Name", "Algorithm Version", "0.2.0"))
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert report.SeriesDescription == "SR: liver_ct_segmentation 0.2.0"
    assert report.PatientID == PERSON["PatientID"]
    used = [item.CodingSchemeDesignator for item in report.CodingSchemeIdentificationSequence]
    assert used == [SUSPICION.scheme_designator]


def test_report_then_its_evidence_is_the_series_and_the_segmentation(nodules, tmp_path):
    result, statistics = nodules
    report = pydicom.dcmread(written(dicom_content(result, statistics), tmp_path))
    told = {
        item.ReferencedSOPInstanceUID
        for keyword in (
            "CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence",
        )
        for study in report.get(keyword, [])
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }  # fmt: skip
    slices = {each.header.SOPInstanceUID for each in result.dicom_slices}
    assert told == slices | {pydicom.dcmread(tmp_path / "segmentation.dcm").SOPInstanceUID}


def test_report_of_organs_then_volume_and_density_and_what_was_not_found(folder, tmp_path):
    mask = np.where(two_organs() == 1, 1, 0).astype(np.uint8)
    segments = [Segment(1, "kidney_left", "kidney_left"), Segment(2, "bone", "bone")]
    result = predicted(folder, mask, segments)
    path = written(content_of(result), tmp_path)
    kidney, bone = groups_of(path)
    measured = measure(result)["organs"]
    assert figures_of(kidney) == expected_of(measured[0])
    assert set(figures_of(kidney)) == {"volume_ml", "mean_hu", "sd_hu"}
    assert kidney.finding_sites[0].laterality == codes.SCT.Left
    assert not kidney.get_qualitative_evaluations(name=meaning_of("kidney").type)
    assert figures_of(bone) == {"volume_ml": 0.0}
    (absent,) = bone.get_qualitative_evaluations(name=meaning_of("bone").type)
    assert absent.value == codes.SCT.Absent
    assert not errors_of(path)


def test_nothing_found_then_a_report_that_says_so(folder, tmp_path):
    facts = {"looked_for": ["nodule"], "lesion_kinds": ["nodule"]}
    result = predicted(folder, np.zeros(SHAPE, np.uint8), (), facts=facts)
    path = written(content_of(result), tmp_path)
    (group,) = groups_of(path)
    (absent,) = group.get_qualitative_evaluations(name=codes.SCT.Nodule)
    assert absent.value == codes.SCT.Absent
    assert not group.get_measurements()
    assert not errors_of(path)


def test_confidence_of_a_second_stage_then_not_called_a_maximum(folder, tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[2, 3:5, 4:7] = 1
    nodule = Segment(1, "nodule", "nodule 1", lesion=True, probability=0.8125)
    (group,) = groups_of(written(content_of(predicted(folder, mask, [nodule])), tmp_path))
    (confidence,) = group.get_measurements(name=codes.DCM.CertaintyOfFinding)
    assert (confidence.value, confidence.derivation) == (0.8125, None)


def test_segmentation_that_was_not_written_then_no_report(folder, tmp_path):
    with pytest.raises(LimitError, match="segments of the SEG, which was not written"):
        write_report(content_of(predicted(folder, two_organs())), tmp_path / "sr.dcm")
    assert not list(tmp_path.iterdir())
