"""SNOMED CT codes and colour of a class, looked up by its name or given in a config.

Categories are from DICOM PS3.16's context group CID 7150, types from CID 7151 with the groups that
it includes. Codes come from pydicom's copy of the standard's tables; this module lists names only.
An unknown name is refused, because an invented code would look like a standard meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from scripts.datasets.segment_colours import COLOURS, deal_colours

# Common names and TotalSegmentator's -> pydicom's keyword of the SNOMED CT concept, if different.
# Left and right are read separately.
SYNONYMS = {
    "bone": "BoneTissue",
    "bones": "BoneTissue",
    "bladder": "Bladder",
    "urinary bladder": "Bladder",
    "small bowel": "SmallIntestine",
    "adrenal": "AdrenalGland",
    "suprarenal gland": "AdrenalGland",
    "thyroid gland": "Thyroid",
    "lung upper lobe": "StructureOfUpperLobeOfLung",
    "lung middle lobe": "StructureOfMiddleLobeOfLung",
    "lung lower lobe": "StructureOfLowerLobeOfLung",
    "portal vein and splenic vein": "PortalVein",
    "iliac vena": "IliacVein",
    "clavicula": "Clavicle",
    "autochthon": "ErectorSpinaeMuscle",
    "heart myocardium": "LeftVentricleMyocardium",
    "heart atrium": "Atrium",
    "brachiocephalic trunk": "InnominateArtery",
    "brachiocephalic vein": "InnominateVein",
    "vessel": "BloodVessel",
    "vessels": "BloodVessel",
    "airways": "AirwayStructure",
    "airway": "AirwayStructure",
    "fat": "AdiposeTissue",
    "subcutaneous fat": "SubcutaneousTissue",
    "muscle": "MuscleTissue",
    "body": "EntireBody",
    "costal cartilages": "CostalCartilage",
    "lymph nodes": "LymphNode",
    "tumor": "Neoplasm",
    "tumors": "Neoplasm",
    "cancer": "Neoplasm",
    "primary tumor": "NeoplasmPrimary",
    "metastasis": "NeoplasmSecondary",
    "metastases": "NeoplasmSecondary",
    "lesions": "Lesion",
    "nodules": "Nodule",
    "cysts": "Cyst",
}
_AMERICAN = {
    "tumour": "tumor",
    "tumours": "tumors",
    "oesophagus": "esophagus",
    "oedema": "edema",
    "haemorrhage": "hemorrhage",
    "haematoma": "hematoma",
    "grey": "gray",
}
LUNGS = (
    codes.SCT.Lung,
    codes.SCT.StructureOfUpperLobeOfLung,
    codes.SCT.StructureOfMiddleLobeOfLung,
    codes.SCT.StructureOfLowerLobeOfLung,
)
_SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right}
_ABNORMAL = codes.cid7159
_TISSUES = codes.cid7166
_OBJECTS = codes.cid7157
_TYPES = codes.cid7151


@dataclass(frozen=True)
class SegmentClass:
    """The codes of one class, and its recommended display colour.

    Args:
        category: segmented property category: anatomical structure, tissue, abnormal structure or
            object.
        type: segmented property type.
        side: laterality, if the name contains left or right.
        region: the organ of a lesion.
        colour: ``#RRGGBB``.
    """

    category: Code
    type: Code
    side: Code | None = None
    region: Code | None = None
    colour: str = COLOURS[0]

    @property
    def organ(self) -> Code | None:
        """The organ that it is, or that it lies in; None for a lesion of any organ."""
        is_lesion = self.category == codes.SCT.MorphologicallyAbnormalStructure
        return self.region if is_lesion or self.region is not None else self.type

    @property
    def is_of_lungs(self) -> bool:
        """Whether that is the lungs, or a part of them."""
        return self.organ in LUNGS


def meaning_of(name: str) -> SegmentClass:
    """Return the codes of a class by its name, in anatomical or TotalSegmentator's spelling.

    A lesion may be named with its organ ("liver tumour", "kidney_cyst_left").

    Raises:
        ValueError: for a name without a known code; the message shows how to give the codes.

    Example:
        >>> kidney = meaning_of("kidney_left")
        >>> kidney.type.meaning, kidney.side.meaning
        ('Kidney', 'Left')
        >>> tumour = meaning_of("liver tumour")
        >>> tumour.type.meaning, tumour.region.meaning
        ('Neoplasm', 'Liver')
    """
    if known := look_up(name):
        return known
    raise ValueError(
        f"class {name!r}: no SNOMED CT code is known by this name; give its codes as class_codes "
        'in the config, such as {"' + name + '": {"category": ["91723000", "SCT", "Anatomical '
        'Structure"], "type": ["78961009", "SCT", "Spleen"]}}, or a known name, such as '
        '{"' + name + '": "lesion"}'
    )


def look_up(name: str) -> SegmentClass | None:
    """Return the codes of a class by its name, see :func:`meaning_of`; None if it has none."""
    words, side = _read_words(name)
    if concept := _concept(words):
        return SegmentClass(_category(concept), concept, side)
    for length in range(1, len(words)):
        organ, lesion = _concept(words[:length]), _concept(words[length:])
        if organ and lesion and lesion in _ABNORMAL:
            return SegmentClass(_category(lesion), lesion, side, organ)
    return None


def classes_of(
    names: Sequence[str],
    given: Mapping[str, str | Mapping[str, Any]] | None = None,
    *,
    lesions: Sequence[str] = (),
) -> dict[str, SegmentClass | None]:
    """Return codes and colours of several classes.

    Args:
        names: the classes without background, in the order of their labels; organs get colours in
            this order.
        given: entries of a config for some of the classes: another name to look up, or ``category``
            and ``type`` (optionally ``region`` and ``side``) as [value, scheme, meaning], and
            ``colour`` as ``#RRGGBB``.
        lesions: classes whose objects are counted one by one; their first objects share a colour.

    Returns:
        Name -> codes and colour; None for a class that is not in ``given`` and whose name has no
        known code: it gets no DICOM segment.

    Raises:
        ValueError: for an entry of ``given`` that is invalid, or for a class not in ``names``.
    """
    given = given or {}
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(
            f"class_codes: {', '.join(unknown)} must be of the classes {', '.join(names)}"
        )
    colours = deal_colours(names, lesions)
    return {name: _chosen(name, given.get(name), colours[name]) for name in names}


def _chosen(name: str, entry: str | Mapping[str, Any] | None, colour: str) -> SegmentClass | None:
    """Read the entry of a config for a class, or look up its name."""
    if entry is None:
        known = look_up(name)
        return known and replace(known, colour=colour)
    if isinstance(entry, str):
        return replace(meaning_of(entry), colour=colour)
    colour = str(entry.get("colour", colour))
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", colour):
        raise ValueError(f"class_codes: {name}: colour must be #RRGGBB, got {colour!r}")
    coded = {key: _code(name, key, value) for key, value in entry.items() if key != "colour"}
    wrong = sorted(set(coded) - {"category", "type", "region", "side"})
    if wrong:
        raise ValueError(
            f"class_codes: {name}: must hold only category, type, region, side and colour, "
            f"got {', '.join(wrong)}"
        )
    if not coded:
        return replace(meaning_of(name), colour=colour)
    if "category" not in coded or "type" not in coded:
        raise ValueError(
            f"class_codes: {name}: must hold category and type, got {', '.join(coded)}"
        )
    return SegmentClass(**coded, colour=colour)


def _code(name: str, key: str, value: object) -> Code:
    parts = value if isinstance(value, (list, tuple)) else ()
    if len(parts) != 3 or not all(isinstance(part, str) and part for part in parts):
        raise ValueError(
            f"class_codes: {name}: {key} must be [value, scheme, meaning], such as "
            f'["78961009", "SCT", "Spleen"], got {value!r}'
        )
    return Code(*parts)


def _read_words(name: str) -> tuple[list[str], Code | None]:
    """Split a name into lower-case words in American spelling, and left or right."""
    words = [_AMERICAN.get(w, w) for w in re.split(r"[\s_\-]+", name.strip().lower()) if w]
    sides = [word for word in words if word in _SIDES]
    side = _SIDES[sides[0]] if len(sides) == 1 else None
    return [word for word in words if word not in _SIDES], side


def _concept(words: Sequence[str]) -> Code | None:
    """Return the concept of a name without its side; None if it is unknown."""
    text = " ".join(words)
    if vertebra := re.fullmatch(r"vertebrae? ([ctl]\d+)", text):
        keywords = [f"{vertebra[1].upper()}Vertebra"]
    elif re.fullmatch(r"rib \d+", text):
        keywords = ["Rib"]
    else:
        camel = "".join(word.capitalize() for word in words)
        keywords = [SYNONYMS[text]] if text in SYNONYMS else [camel, camel.removesuffix("s")]
    for keyword in keywords:
        if keyword in _KEYWORDS:
            concept: Code = getattr(codes.SCT, keyword)
            return concept
    return None


def _category(concept: Code) -> Code:
    """Return the category of a concept from the context groups of the standard."""
    category: Code = codes.SCT.AnatomicalStructure
    if concept in _ABNORMAL:
        category = codes.SCT.MorphologicallyAbnormalStructure
    elif concept in _TISSUES:
        category = codes.SCT.Tissue
    elif concept in _OBJECTS:
        category = codes.SCT.PhysicalObject
    return category


def _usable_keywords() -> frozenset[str]:
    """Return the keywords of SNOMED CT for segments: types of CID 7151, and those of SYNONYMS."""
    listed = {keyword for keyword in SYNONYMS.values() if hasattr(codes.SCT, keyword)}
    return frozenset({k for k in _TYPES.dir() if hasattr(codes.SCT, k)} | listed)


_KEYWORDS = _usable_keywords()
