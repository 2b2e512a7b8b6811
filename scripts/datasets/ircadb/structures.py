"""Assignment of the outlined structures of 3D-IRCADb-01, whose folder names vary, to classes.

The structures of the 20 patients have free names (``livertumor``, ``livertumor01``, ``livercyst``,
``liverkyste``, ``kidneys``, ``rightsurrenalGland`` ...). Source: the folders of the published data
set, https://www.ircad.fr/research/data-sets/liver-segmentation-3d-ircadb-01/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# class names in the order of their label values
CLASSES = ("background", "liver", "bone", "kidney")
TUMOUR_CLASS = "liver tumour"  # the optional fifth class, label 4

# pattern of the whole name (see `normalise`) -> part of a class
PARTS = {
    r"liver": "liver",
    r"livertumors?\d*": "liver tumour",
    r"liver(cyst|kyste?)s?\d*": "liver cyst",
    r"bones?": "bone",
    r"kidneys?": "both kidneys",
    r"leftkidney": "left kidney",
    r"rightkidney": "right kidney",
}

# known names of other structures; none of them is a liver tumour
OTHERS = {
    r"tumor": "adrenal tumour (patient 7), outside the liver",
    r"(left|right)surretumor": "adrenal tumour",
    r"metastasectomie": "bed of a resected metastasis (patient 14), no tumour left",
    r"hyperplasie": "hyperplasia, of an unnamed organ",
    r"(left|right)?surrenalgland": "adrenal gland",
    r"artery|aorta": "arteries",
    r"portalvein\d*": "portal vein",
    r"venoussystem|venacava": "veins",
    r"biliarysystem|gallbladder|stones": "gall bladder, bile ducts and their stones",
    r"(left|right)?lungs?|heart": "chest organs",
    r"spleen|pancreas|lymphnodes": "upper abdominal organs",
    r"stomach|stomachoesophage|duodenum|smallintestine?|colon|sigmoid": "digestive tract",
    r"bladder|uterus": "pelvic organs",
    r"skin": "body surface",
    r"metal": "metal",
}

# parts that must be outlined for a class to be known: one of these sets is enough
REQUIRED = {
    "liver": ({"liver"},),
    "bone": ({"bone"},),
    "kidney": ({"both kidneys"}, {"left kidney", "right kidney"}),
    # a finding, not an organ: an outlined liver without outlined tumour has no tumour
    TUMOUR_CLASS: ({"liver"},),
}

# parts of each class, painted in this order: where outlines overlap, the later class is kept.
# Bone first (thresholded, it spills into enhanced organs), the liver over the kidney it touches.
PAINTED = {
    "bone": ("bone",),
    "kidney": ("both kidneys", "left kidney", "right kidney"),
    "liver": ("liver", "liver tumour", "liver cyst"),
    TUMOUR_CLASS: ("liver tumour",),
}


def class_names(*, tumour: bool = False) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their label values.

    Example:
        >>> class_names(tumour=True)
        ('background', 'liver', 'bone', 'kidney', 'liver tumour')
    """
    return (*CLASSES, TUMOUR_CLASS) if tumour else CLASSES


def normalise(name: str) -> str:
    """Return a folder's name without case, spaces, underscores and hyphens.

    Example:
        >>> normalise("Right_surrenal Gland")
        'rightsurrenalgland'
    """
    return re.sub(r"[\s_-]+", "", name).casefold()


def part_of(name: str) -> str | None:
    """Return the part of a class that a structure's name means; None for other names.

    Example:
        >>> part_of("LiverTumor07"), part_of("liverkyste"), part_of("tumor")
        ('liver tumour', 'liver cyst', None)
    """
    return _look_up(PARTS, name)


def other_meaning(name: str) -> str | None:
    """Return the meaning of a known name outside all classes; None for unknown names."""
    return _look_up(OTHERS, name)


def _look_up(table: Mapping[str, str], name: str) -> str | None:
    plain = normalise(name)
    values = (value for pattern, value in table.items() if re.fullmatch(pattern, plain))
    return next(values, None)


@dataclass(frozen=True)
class Structures:
    """The meaning of one patient's structure names.

    Args:
        parts: structure name -> part of a class.
        others: structure name -> meaning, for known structures outside all classes.
        unrecognised: names that are in neither table.
    """

    parts: Mapping[str, str]
    others: Mapping[str, str]
    unrecognised: tuple[str, ...]

    def known_classes(self, *, tumour: bool = False) -> tuple[int, ...]:
        """Return the label values of the classes known in this patient, background included.

        A class that lacks a required part is unknown, not absent: its voxels are labelled
        background and must be excluded from loss and metric.
        """
        outlined = set(self.parts.values())
        names = class_names(tumour=tumour)
        known = [0]
        for value, name in enumerate(names[1:], start=1):
            if any(required <= outlined for required in REQUIRED[name]):
                known.append(value)
        return tuple(known)

    def incomplete(self) -> tuple[str, ...]:
        """Return the structures that are outlined but unused, as their class is incomplete."""
        known = {class_names(tumour=True)[value] for value in self.known_classes(tumour=True)}
        used = {part for name in known - {"background"} for part in PAINTED[name]}
        return tuple(name for name, part in self.parts.items() if part not in used)


def recognise(names: Iterable[str]) -> Structures:
    """Sort one patient's structure names into parts of classes, known others and the rest.

    Raises:
        ValueError: for two spellings of one name (``Liver`` and ``liver_``), of which one would be
            painted over the other; for an unknown name that begins or ends like a structure of a
            class (``liver_left``), as the label without it could be wrong.

    Example:
        >>> structures = recognise(["liver", "livertumor1", "leftkidney", "tumor", "gland"])
        >>> structures.known_classes(tumour=True), structures.incomplete(), structures.unrecognised
        ((0, 1, 4), ('leftkidney',), ('gland',))
    """
    parts: dict[str, str] = {}
    others: dict[str, str] = {}
    unrecognised: list[str] = []
    spelled: dict[str, str] = {}
    for name in sorted(names):
        twin = spelled.setdefault(normalise(name), name)
        if twin != name:
            raise ValueError(
                f"structure: {name!r} and {twin!r} are two spellings of one name; keep one of them"
            )
        part, other = part_of(name), other_meaning(name)
        if part is not None:
            parts[name] = part
        elif other is not None:
            others[name] = other
        else:
            _refuse_resembling(name)
            unrecognised.append(name)
    return Structures(parts, others, tuple(unrecognised))


def _refuse_resembling(name: str) -> None:
    plain = normalise(name)
    for root in ("liver", "bone", "kidney"):
        if plain.startswith(root) or plain.endswith((root, root + "s")):
            raise ValueError(
                f"structure: {name!r} is unknown but named like the {root}; rename the folder, "
                "or add the name to PARTS or OTHERS in scripts/datasets/ircadb/structures.py"
            )


def paint(
    masks: Mapping[str, NDArray[np.bool_]],
    structures: Structures,
    *,
    tumour: bool = False,
) -> NDArray[np.uint8]:
    """Paint the class map of one patient.

    The liver is the union of the liver, its tumours and cysts; the kidney that of both kidneys.
    Where classes overlap, the order of :data:`PAINTED` decides: liver tumour over liver over
    kidney over bone. Unknown classes get no voxel.

    Args:
        masks: structure name -> mask, all of one shape; names outside all classes may be missing.
        structures: the meaning of the names.
        tumour: whether liver tumours are a separate class.

    Returns:
        Label values, of the shape of the masks.

    Raises:
        KeyError: when the mask of a known class's structure is missing.
        ValueError: for no masks, or masks of several shapes.

    Example:
        >>> masks = {"liver": np.array([1, 1, 0], bool), "bone": np.array([0, 1, 1], bool)}
        >>> paint(masks, recognise(masks))
        array([1, 1, 2], dtype=uint8)
    """
    shapes = {mask.shape for mask in masks.values()}
    if len(shapes) != 1:
        raise ValueError(f"masks: must be one or more of one shape, got {sorted(shapes) or 'none'}")
    label = np.zeros(shapes.pop(), dtype=np.uint8)
    names = class_names(tumour=tumour)
    known = {names[value] for value in structures.known_classes(tumour=tumour)}
    for class_name, parts in PAINTED.items():
        if class_name not in known:
            continue
        for name in names_of(structures, parts):
            label[masks[name]] = names.index(class_name)
    return label


def names_of(structures: Structures, parts: Collection[str]) -> list[str]:
    """Return the structure names that mean one of these parts."""
    return [name for name, part in structures.parts.items() if part in parts]
