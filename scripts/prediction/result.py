"""The prediction of one CT: HU, mask, geometry and segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.candidates import Candidate
from scripts.datasets.segment_classes import SegmentClass, look_up, meaning_of
from scripts.volumes.dicom.slice import SliceFile
from scripts.volumes.geometry import Floats, index_to_world, spacing_of
from scripts.volumes.resampling import SliceStack, to_slices

SECOND_STAGE = "second_stage"
"""Entry of a prediction's facts, its manifest and its statistics: what a second stage removed."""

DICOM_OBJECTS = "dicom_objects"
"""Entry of a prediction's facts and its manifest: which lesions its DICOM objects hold, and how."""


@dataclass(frozen=True)
class Segment:
    """One segment: an organ, or a single lesion.

    Attributes:
        number: its value in the mask, 1 or more.
        kind: its class, a name of the bundle's channel_def: nodule, liver, bone, kidney, ...
        name: displayed name: the kind, for lesions with a number ("nodule 2").
        lesion: whether it is a lesion, of which there may be several, rather than an organ.
        probability: of a lesion, the highest that the network gives one of its voxels; None if
            unknown.
        mean_probability: the mean over its voxels.
        members_share: of a lesion, the share of the members that mark a voxel of it, see
            :mod:`scripts.prediction.members.agreement`; None of a single network without flips.
    """

    number: int
    kind: str
    name: str
    lesion: bool = False
    probability: float | None = None
    mean_probability: float | None = None
    members_share: float | None = None

    @property
    def label(self) -> str:
        """The name without the kind: the number of a lesion."""
        return self.name.removeprefix(self.kind).strip()


@dataclass(frozen=True)
class Prediction:
    """A segmented CT in the geometry of its source, or on the grid that it was resampled to.

    Attributes:
        hu: (Z, Y, X) int16, Hounsfield units.
        mask: (Z, Y, X) uint8 or uint16, the number of the segment in each voxel, 0 background.
        affine: (4, 4), index (i, j, k) = (x, y, z) of a voxel to LPS mm.
        segments: one per number in the mask, in ascending order; an organ that was not found is
            listed too, without a voxel.
        lungs: (Z, Y, X) bool, or None if the bundle computes no lung field.
        dicom_slices: header and file of each slice, ordered along the first axis; empty for other
            sources.
        stack: positions of the DICOM slices if the arrays were resampled from them.
        study: name of the results, without patient data.
        candidates: every lesion of the mask with its confidence, and fainter ones that the mask
            does not show (segment 0).
        meanings: kind -> its codes and colour, as the bundle's config declares them.
        facts: provenance for the manifest and the page: bundle, version, hash of the weights,
            warnings.
    """

    hu: NDArray[np.int16]
    mask: NDArray[Any]
    affine: Floats
    segments: tuple[Segment, ...]
    study: str
    lungs: NDArray[np.bool_] | None = None
    dicom_slices: tuple[SliceFile, ...] = ()
    stack: SliceStack | None = None
    candidates: tuple[Candidate, ...] = ()
    meanings: Mapping[str, SegmentClass | None] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that arrays, slices and segments are consistent.

        Raises:
            ValueError: for arrays of different shapes, a number of DICOM slices other than that of
                the volume, or a mask value without a segment.
        """
        shapes = {self.hu.shape, self.mask.shape}
        if self.lungs is not None:
            shapes.add(self.lungs.shape)
        if len(shapes) > 1 or self.hu.ndim != 3:
            raise ValueError(f"prediction: arrays must share one 3D shape, got {sorted(shapes)}")
        slices = len(self.hu) if self.stack is None else len(self.stack.positions)
        if self.dicom_slices and len(self.dicom_slices) != slices:
            raise ValueError(
                f"prediction: {len(self.dicom_slices)} DICOM slices for {slices} slices"
            )
        if unknown := self._unknown_values():
            raise ValueError(f"prediction: mask values {sorted(unknown)} have no segment")

    def _unknown_values(self) -> set[Any]:
        """Return the values of the mask that are neither background nor a segment."""
        known = {0, *(segment.number for segment in self.segments)}
        possible = range(int(self.mask.max(initial=0)) + 1)
        if self.mask.dtype.kind == "u" and known.issuperset(possible):
            return set()
        return set(np.unique(self.mask).tolist()) - known  # ten times as slow as the maximum

    @property
    def spacing_mm(self) -> Floats:
        """(3,): voxel edges along (x, y, z) in mm."""
        return spacing_of(self.affine)

    @property
    def dicom_note(self) -> str:
        """What was left out of the DICOM objects that were written, for the screen."""
        return str(self.facts.get(DICOM_OBJECTS, {}).get("note", ""))

    def meaning_of(self, kind: str) -> SegmentClass:
        """Return codes and colour of a kind of segment.

        Raises:
            ValueError: for a kind without codes.
        """
        return self.meanings.get(kind) or meaning_of(kind)

    def is_of_lungs(self, kind: str) -> bool:
        """Whether lesions of a kind are those of the lungs, so that they have a place there.

        By the organ in the codes of the kind. A kind that names none, such as "nodule", is of the
        lungs if a lung field was computed and no other organ is segmented.
        """
        meaning = self._known_meaning(kind)
        if meaning is not None and meaning.organ is not None:
            return meaning.is_of_lungs
        organs = {segment.kind for segment in self.segments if not segment.lesion}
        known = [self._known_meaning(organ) for organ in organs]
        return self.lungs is not None and all(one and one.is_of_lungs for one in known)

    def _known_meaning(self, kind: str) -> SegmentClass | None:
        return self.meanings.get(kind) or look_up(kind)

    def mask_on_slices(self) -> NDArray[Any]:
        """(slices, rows, columns): the mask on the slices of the source, resampled or not."""
        return self.mask if self.stack is None else to_slices(self.mask, self.stack, self.affine)

    def on_slice(self, k: int, column_row: Floats) -> Floats:
        """(n, 3): LPS mm of points (n, 2) on a slice of the source, 0-based with fractions."""
        if self.stack is None:
            return index_to_world(np.c_[column_row, np.full(len(column_row), k)], self.affine)
        return self.stack.on_slice(k, column_row)
