"""What the DICOM objects of one prediction hold: the same segments, names and colours.

SEG, RTSTRUCT and SR are made of one :class:`DicomContent`, so that they agree with each other and
with statistics.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from scripts.datasets.segment_classes import SegmentClass
from scripts.prediction.dicom.algorithm import LONG_STRING, Algorithm, long_string
from scripts.prediction.dicom.segmentation_form import AUTO, SegmentationForm, choose_form
from scripts.prediction.dicom.source_series import quiet, read_source
from scripts.prediction.measures.lung_sides import LEFT, RIGHT, UNKNOWN
from scripts.prediction.result import DICOM_OBJECTS, Prediction, Segment
from scripts.prediction.writing.colours import colours_of
from scripts.prediction.writing.limits import USUAL_LESIONS, only_segments, surest_segments

NOTICE = "Made by software, for research only, not for diagnosis"
_MOST_SEGMENTS = 65535  # SegmentNumber has 16 bits
# figures of the voxels alone: others depend on options, such as the suspicion or the members
_OF_VOXELS = {
    *("voxels", "mean_hu", "sd_hu", "centre_lps_mm"),
    *("first_slice_number_1based", "last_slice_number_1based"),
}
_SIDES = {LEFT: codes.SCT.Left, RIGHT: codes.SCT.Right}
_ZONES = {
    "upper": codes.SCT.UpperZoneOfLung,
    "middle": codes.SCT.MiddleZoneOfLung,
    "lower": codes.SCT.LowerZoneOfLung,
}


@dataclass(frozen=True)
class DescribedSegment:
    """One segment of the DICOM objects.

    Attributes:
        number: in the objects, 1 or more; that in the mask if no lesion was left out.
        segment: of the prediction.
        meaning: its codes.
        colour: ``#RRGGBB``.
        label: name, size and place, at most 64 characters.
        tracking_uid: the same in all objects, and whenever the same finding is made of the same
            series by the same weights.
        measured: its entry in the statistics; None for a class of lesions of which none was found.
    """

    number: int
    segment: Segment
    meaning: SegmentClass
    colour: str
    label: str
    tracking_uid: str
    measured: Mapping[str, Any] | None

    @property
    def is_empty(self) -> bool:
        """Whether it has no voxel."""
        return self.measured is None or not self.measured["voxels"]

    @property
    def site(self) -> tuple[Code | None, Code | None]:
        """The organ or part of it that a lesion lies in, and its side, where known."""
        lung_side = (self.measured or {}).get("lung_side", UNKNOWN)
        if lung_side == UNKNOWN:
            return self.meaning.region, self.meaning.side
        third = (self.measured or {}).get("lung_third", UNKNOWN)
        return _ZONES.get(third, codes.SCT.Lung), _SIDES[lung_side]


@dataclass(frozen=True)
class DicomContent:
    """The content of SEG, RTSTRUCT and SR.

    Attributes:
        prediction: with the segments of the objects, and their numbers.
        segments: described, one per number.
        algorithm: that found them.
        form: of the SEG.
        found: number of lesions that were found.
        lesions: number of lesions in the objects.
    """

    prediction: Prediction
    segments: tuple[DescribedSegment, ...]
    algorithm: Algorithm
    form: SegmentationForm
    found: int
    lesions: int

    @cached_property
    def source(self) -> list[Dataset]:
        """The headers of the source, read once for all objects; they must not be changed.

        Raises:
            ValueError: see :func:`~scripts.prediction.dicom.source_series.read_source`.
        """
        with quiet():
            return read_source(self.prediction)

    @property
    def note(self) -> str:
        """What was left out, for the user; empty if nothing was."""
        if self.found == self.lesions:
            return ""
        return (
            f"DICOM objects hold {self.lesions} of {self.found} lesions, those of the highest "
            f"confidence, and leave {self.found - self.lesions} out (--dicom_lesions); the mask "
            "and the tables hold all"
        )

    @property
    def notice(self) -> str:
        """A description for the objects, at most 64 characters."""
        if self.found == self.lesions:
            return NOTICE
        return f"For research only; the {self.lesions} surest of {self.found} lesions"

    def record(self) -> dict[str, Any]:
        """Return the lesions in the objects and those left out, for manifest and statistics."""
        return {
            "lesions_found": self.found,
            "lesions_written": self.lesions,
            "lesions_left_out": self.found - self.lesions,
            "rule": "those of the highest confidence, of each kind in turn",
        }

    def number_in(self, statistics: dict[str, Any]) -> None:
        """Add each segment's number in the DICOM objects to the statistics, in place."""
        numbers = {each.segment.number: each.number for each in self.segments}
        for one in (*statistics["lesions"], *statistics["organs"]):
            one["dicom_segment"] = numbers.get(one["number"])
        statistics[DICOM_OBJECTS] = self.record()
        statistics["definitions"]["dicom_segment"] = (
            "number of the segment in the DICOM objects; empty for a lesion that they leave out"
        )


def dicom_content(
    prediction: Prediction,
    statistics: Mapping[str, Any],
    *,
    most: int = USUAL_LESIONS,
    form: str = AUTO,
) -> DicomContent:
    """Describe the segments of a prediction for its DICOM objects.

    Args:
        prediction: of a DICOM source.
        statistics: of :func:`scripts.prediction.measures.statistics.measure`.
        most: lesions that the objects hold; see
            :func:`scripts.prediction.writing.limits.surest_segments`.
        form: of the SEG, see :func:`scripts.prediction.dicom.segmentation_form.choose_form`.

    Raises:
        ValueError: when there is nothing to describe, the numbers have gaps, or a kind has no
            codes.
    """
    segments = _segments_to_describe(prediction)
    whole = prediction if prediction.segments else replace(prediction, segments=segments)
    kept = surest_segments(whole.segments, most)
    limited, colours = only_segments(whole, kept), colours_of(whole)
    measured = {one["number"]: one for one in (*statistics["lesions"], *statistics["organs"])}
    described = tuple(
        DescribedSegment(
            number,
            segment,
            prediction.meaning_of(segment.kind),
            colours[segment.number],
            segment_label(segment, measured.get(segment.number)),
            _tracking_uid(prediction, segment, measured.get(segment.number)),
            measured.get(segment.number),
        )
        for number, segment in enumerate(kept, start=1)
    )
    return DicomContent(
        limited,
        described,
        Algorithm.of(prediction.facts),
        choose_form(limited.mask_on_slices(), form),
        sum(segment.lesion for segment in whole.segments),
        sum(segment.lesion for segment in kept),
    )


def _segments_to_describe(prediction: Prediction) -> tuple[Segment, ...]:
    """Return the segments that a DICOM object describes: at least one, numbered 1, 2, 3 ...

    If nothing was found, the classes of the model (``facts["looked_for"]``) are described, without
    a voxel: this distinguishes "none found" from "not searched for".

    Raises:
        ValueError: when there is nothing to describe, or the numbers have gaps, which DICOM PS3.3
            C.8.20.4 does not allow.
    """
    segments = prediction.segments or tuple(
        Segment(number, kind, f"{kind} (none found)")
        for number, kind in enumerate(prediction.facts.get("looked_for", ()), start=1)
    )
    if not segments:
        raise ValueError(
            "prediction: has no segment, and a DICOM object must describe at least one; give the "
            'classes of the model as facts["looked_for"], such as ["nodule"]'
        )
    if len(segments) > _MOST_SEGMENTS:
        raise ValueError(f"segments: DICOM allows at most {_MOST_SEGMENTS}, got {len(segments)}")
    numbers = [segment.number for segment in segments]
    if numbers != list(range(1, len(segments) + 1)):
        raise ValueError(
            f"segments: must be numbered from 1 without a gap, got {numbers[:8]}; renumber the mask"
        )
    return segments


def segment_label(segment: Segment, measured: Mapping[str, Any] | None) -> str:
    """Return name, size and place of a segment, at most 64 characters: what does not fit is left.

    Example:
        >>> nodule = Segment(3, "nodule", "nodule 3", lesion=True)
        >>> size = {"voxels": 9, "longest_axial_diameter_mm": 8.21}
        >>> segment_label(nodule, {**size, "lung_side": "right", "lung_third": "lower"})
        'nodule 3, 8.2 mm, right lower'
        >>> segment_label(Segment(1, "liver", "liver"), {"voxels": 9, "volume_ml": 1512.4})
        'liver, 1512 ml'
    """
    if measured is None:
        return long_string(segment.name)
    if not measured["voxels"]:
        return long_string(f"{segment.name} (not found)")
    if segment.lesion:
        words = (measured.get("lung_side", UNKNOWN), measured.get("lung_third", UNKNOWN))
        place = " ".join(word for word in words if word != UNKNOWN)
        parts = [f"{measured['longest_axial_diameter_mm']:.1f} mm", *([place] if place else [])]
    else:
        volume = measured["volume_ml"]
        parts = [f"{volume:.0f} ml" if volume >= 100 else f"{volume:.1f} ml"]
    parts = [segment.name, *parts]
    while len(parts) > 1 and len(", ".join(parts)) > LONG_STRING:
        parts.pop()
    return long_string(", ".join(parts))


def _tracking_uid(
    prediction: Prediction, segment: Segment, measured: Mapping[str, Any] | None
) -> str:
    """Derive the UID of a finding from its series, the weights, and its voxels.

    A lesion is known by its voxels, not by its number, which depends on the others.
    """
    series = [str(each.header.get("SeriesInstanceUID")) for each in prediction.dicom_slices[:1]]
    figures = {key: value for key, value in (measured or {}).items() if key in _OF_VOXELS}
    entropy: Sequence[str] = [
        *series,
        json.dumps(prediction.facts.get("weights_sha256")),
        segment.kind if segment.lesion else segment.name,
        json.dumps(figures, sort_keys=True),
    ]
    return str(generate_uid(entropy_srcs=list(entropy)))
