"""The measurements of a prediction as a DICOM structured report (SR) of template TID 1500.

Each lesion and organ has a measurement group (TID 1411) with its volume, diameters, density and
confidence, which refers to its segment of the SEG beside it. The figures are those of
statistics.json, digit by digit. The observer is a device: this software with its model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import highdicom
import pydicom
from highdicom.sr import (
    AlgorithmIdentification,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from scripts.prediction.dicom.algorithm import SOFTWARE, Algorithm
from scripts.prediction.dicom.content import DescribedSegment, DicomContent
from scripts.prediction.dicom.source_series import quiet
from scripts.prediction.writing.limits import LimitError
from scripts.prediction.writing.products import PRODUCTS
from scripts.storage.files import atomic_path

SERIES_NUMBER = 9003
PRIVATE_SCHEME = "99TRANSFERCT"  # by DICOM's rule, private coding schemes begin with 99
SUSPICION = Code("suspicion", PRIVATE_SCHEME, "Suspicion that radiologists would rate, 0 to 1")
MILLILITRE = Code("mL", "UCUM", "milliliter")


class Figure(NamedTuple):
    """One measurement of a group.

    Attributes:
        key: of the statistics.
        name: its concept.
        unit: in UCUM.
        derivation: how it was derived from the voxels, if the concept does not say so.
    """

    key: str
    name: Code
    unit: Code
    derivation: Code | None = None


# of a lesion or an organ; a figure that the statistics do not state is left out
FIGURES = (
    Figure("volume_mm3", codes.SCT.Volume, codes.UCUM.CubicMillimeter),
    Figure("volume_ml", codes.SCT.Volume, MILLILITRE),
    Figure("longest_axial_diameter_mm", codes.SCT.LongAxis, codes.UCUM.Millimeter),
    Figure("perpendicular_axial_diameter_mm", codes.SCT.ShortAxis, codes.UCUM.Millimeter),
    Figure("mean_hu", codes.DCM.AttenuationCoefficient, codes.UCUM.HounsfieldUnit, codes.SCT.Mean),
    Figure(
        "sd_hu",
        codes.DCM.AttenuationCoefficient,
        codes.UCUM.HounsfieldUnit,
        codes.SCT.StandardDeviation,
    ),
    Figure("probability", codes.DCM.CertaintyOfFinding, codes.UCUM.NoUnits, codes.SCT.Maximum),
    Figure("mean_probability", codes.DCM.CertaintyOfFinding, codes.UCUM.NoUnits, codes.SCT.Mean),
    Figure("suspicion", SUSPICION, codes.UCUM.NoUnits),
)


def write_report(content: DicomContent, path: Path) -> None:
    """Write the measurements as DICOM SR, whole or not at all.

    Patient and study are those of the source. The report is complete, preliminary and not verified,
    as no reader took part.

    Args:
        content: of a prediction on a DICOM source.
        path: the file, in the folder of the SEG.

    Raises:
        ValueError: as :func:`~scripts.prediction.dicom.segmentation_object.write_segmentation`.
        LimitError: when the SEG was not written because it would be too large.
    """
    file = path.with_name(PRODUCTS["seg"].files[0])
    if not file.is_file():
        raise LimitError("it refers to the segments of the SEG, which was not written")
    with quiet():
        segmentation = pydicom.dcmread(file, stop_before_pixels=True)
        report = _report(content, segmentation)
        with atomic_path(path) as part:
            report.save_as(part, enforce_file_format=True)


def _report(content: DicomContent, segmentation: Dataset) -> Dataset:
    """Make the object."""
    source, algorithm = content.source, content.algorithm
    groups = [_group(each, source[0], segmentation, algorithm) for each in content.segments]
    tree = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(algorithm)),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    # of a multi-frame file each frame has a header here
    instances = {str(image.SOPInstanceUID): image for image in source}
    report: Dataset = highdicom.sr.Comprehensive3DSR(
        evidence=[*instances.values(), segmentation],
        content=tree[0],
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        **algorithm.equipment,
        series_description=algorithm.series_description("SR"),
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    if any((each.measured or {}).get("suspicion") is not None for each in content.segments):
        scheme = Dataset()
        scheme.CodingSchemeDesignator = PRIVATE_SCHEME
        scheme.CodingSchemeName = f"Private codes of {SOFTWARE}"
        report.CodingSchemeIdentificationSequence = [scheme]
    return report


def _observer(algorithm: Algorithm) -> ObserverContext:
    """Name the device: its UID is that of the software with these weights."""
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=[SOFTWARE, algorithm.name, algorithm.weights]),
            name=algorithm.name,
            manufacturer_name=SOFTWARE,
            model_name=f"{algorithm.name} {algorithm.version}",
            serial_number=algorithm.weights,
        ),
    )


def _group(
    segment: DescribedSegment, source: Dataset, segmentation: Dataset, algorithm: Algorithm
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Make the measurement group of one segment; of one that was not found it says so."""
    identification = AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=[f"Weights {algorithm.weights}"],
    )
    absent = QualitativeEvaluation(name=segment.meaning.type, value=codes.SCT.Absent)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=segment.tracking_uid, identifier=segment.segment.name
        ),
        referenced_segment=ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=segment.number,
            source_series=SourceSeriesForSegmentation(str(source.SeriesInstanceUID)),
        ),
        finding_type=segment.meaning.type,
        finding_category=segment.meaning.category,
        algorithm_id=identification,
        finding_sites=_sites(segment),
        measurements=_measurements(segment.measured or {}),
        qualitative_evaluations=[absent] if segment.is_empty else None,
    )


def _sites(segment: DescribedSegment) -> list[FindingSite] | None:
    """Return where a lesion lies, or which of two organs it is; None if neither is known."""
    region, side = segment.site
    if region is None and side is None:
        return None
    return [FindingSite(region or segment.meaning.type, laterality=side)]


def _measurements(measured: Mapping[str, Any]) -> list[Measurement]:
    """Return the figures that the statistics state of a segment."""
    second_stage = measured.get("mean_probability") is None
    return [
        Measurement(
            name=figure.name,
            value=measured[figure.key],
            unit=figure.unit,
            # a second stage gives a lesion one probability, not a maximum of its voxels
            derivation=None if figure.key == "probability" and second_stage else figure.derivation,
        )
        for figure in FIGURES
        if measured.get(figure.key) is not None
    ]
