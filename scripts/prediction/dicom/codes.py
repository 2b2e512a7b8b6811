"""What each kind of segment is called in SNOMED CT, and its colour in a DICOM viewer.

Categories are of DICOM PS3.16's context group CID 7150, types of CID 7151: bone is a tissue there,
and a finding's organ is told apart from it. pydicom's copy of the standard's tables is read, no
code is typed here.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from scripts.evaluation.class_drawing import COLOURS


@dataclass(frozen=True)
class SegmentCode:
    """The codes of one kind of segment.

    Attributes:
        category: of the property: an anatomical structure, a tissue or something abnormal.
        type: the property itself.
        colour: recommended for display, ``#RRGGBB``; the one in the report of the same study.
        region: the organ it lies in, where the type does not say so.
    """

    category: Code
    type: Code
    colour: str
    region: Code | None = None

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as three numbers from 0 to 255.

        >>> CODES["liver"].rgb
        (230, 159, 0)
        """
        red, green, blue = bytes.fromhex(self.colour.removeprefix("#"))
        return red, green, blue


_ORGAN = codes.SCT.AnatomicalStructure
_LESION = codes.SCT.MorphologicallyAbnormalStructure

# The kinds are those of the bundles' channel_def.
CODES: dict[str, SegmentCode] = {
    "liver": SegmentCode(_ORGAN, codes.SCT.Liver, COLOURS[0]),
    "bone": SegmentCode(codes.SCT.Tissue, codes.SCT.BoneTissue, COLOURS[2]),
    "kidney": SegmentCode(_ORGAN, codes.SCT.Kidney, COLOURS[3]),
    "nodule": SegmentCode(_LESION, codes.SCT.Nodule, COLOURS[1], codes.SCT.Lung),
    "liver tumour": SegmentCode(_LESION, codes.SCT.Neoplasm, COLOURS[5], codes.SCT.Liver),
}


def code_of(kind: str) -> SegmentCode:
    """Return the codes of a kind of segment.

    Raises:
        ValueError: for a kind without codes, listing those that have some; made-up codes would
            pass for an agreed meaning.

    Example:
        >>> code_of("kidney").type.value
        '64033007'
        >>> code_of("spleen")
        Traceback (most recent call last):
        ...
        ValueError: kind: 'spleen' has no SNOMED CT code here, only liver, bone, kidney, nodule, \
liver tumour; add it to CODES in scripts/prediction/dicom/codes.py
    """
    if kind not in CODES:
        raise ValueError(
            f"kind: {kind!r} has no SNOMED CT code here, only {', '.join(CODES)}; add it to CODES "
            "in scripts/prediction/dicom/codes.py"
        )
    return CODES[kind]
