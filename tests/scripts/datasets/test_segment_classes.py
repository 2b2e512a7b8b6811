"""Classes have codes of the standard's own tables, found by name or given by a config."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom.sr.codedict import codes

from scripts.datasets.segment_classes import SYNONYMS, classes_of, meaning_of
from scripts.datasets.segment_colours import LESION_COLOUR, ORGAN_COLOURS

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"
EXPECTED = {
    "nodule": ("49755003", "27925004", None, None),
    "lung nodule": ("49755003", "27925004", None, "39607008"),
    "liver": ("91723000", "10200004", None, None),
    "bone": ("85756007", "3138006", None, None),
    "kidney": ("91723000", "64033007", None, None),
    "kidney_right": ("91723000", "64033007", "24028007", None),
    "liver tumour": ("49755003", "108369006", None, "10200004"),
    "Liver Tumor": ("49755003", "108369006", None, "10200004"),
    "left kidney-cyst": ("49755003", "367643001", "7771000", "64033007"),
    "spleen": ("91723000", "78961009", None, None),
    "vertebrae_L5": ("91723000", "49668003", None, None),
    "oesophagus": ("91723000", "32849002", None, None),
    "urinary_bladder": ("91723000", "89837001", None, None),
    "pancreas": ("91723000", "15776009", None, None),
}


def numbers(meaning):
    parts = (meaning.category, meaning.type, meaning.side, meaning.region)
    return tuple(part and part.value for part in parts)


@pytest.mark.parametrize("name", EXPECTED)
def test_name_then_snomed_codes_of_the_standards_groups(name):
    meaning = meaning_of(name)
    assert numbers(meaning) == EXPECTED[name]
    assert meaning.category in codes.cid7150
    assert meaning.type in codes.cid7151


@pytest.mark.parametrize("keyword", sorted(set(SYNONYMS.values())))
def test_synonym_then_its_concept_is_in_the_table(keyword):
    assert getattr(codes.SCT, keyword).scheme_designator == "SCT"


@pytest.mark.parametrize("name", ["spline", "", "liver liver", "nodule liver", "hepatic thing"])
def test_unknown_name_then_refused_with_the_way_to_give_codes(name):
    with pytest.raises(ValueError, match="class_codes"):
        meaning_of(name)


def test_classes_then_organs_in_their_own_colours_and_lesions_in_one():
    found = classes_of(["liver", "lesion", "spleen", "cyst"], lesions=["lesion", "cyst"])
    assert [meaning.colour for meaning in found.values()] == [
        *(ORGAN_COLOURS[0], LESION_COLOUR, ORGAN_COLOURS[1], LESION_COLOUR)
    ]


def test_class_without_a_known_code_then_none_unless_the_config_gives_it():
    spleen = {
        "category": ["91723000", "SCT", "Anatomical Structure"],
        "type": ["78961009", "SCT", "Spleen"],
        "colour": "#112233",
    }
    assert classes_of(["milt"]) == {"milt": None}
    given = classes_of(["milt", "Knoten"], {"milt": spleen, "Knoten": "lung nodule"})
    assert numbers(given["milt"]) == EXPECTED["spleen"]
    assert given["milt"].colour == "#112233"
    assert numbers(given["Knoten"]) == EXPECTED["lung nodule"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"liver": "liver"}, "liver must be of the classes milt"),
        ({"milt": "spline"}, "no SNOMED CT code"),
        ({"milt": {"category": ["1", "SCT", "a"]}}, "must hold category and type"),
        ({"milt": {"category": ["1", "SCT"], "type": ["1", "SCT", "a"]}}, "value, scheme, meaning"),
        ({"milt": {"kind": ["1", "SCT", "a"]}}, "must hold only category, .* got kind"),
        ({"milt": {"colour": "red"}}, "#RRGGBB"),
    ],
)
def test_codes_that_cannot_be_read_then_refused(given, words):
    with pytest.raises(ValueError, match=words):
        classes_of(["milt"], given)


@pytest.mark.parametrize(
    "metadata", sorted(BUNDLES.glob("*/configs/metadata.json")), ids=lambda p: p.parts[-3]
)
def test_channels_of_a_bundle_then_all_have_codes(metadata):
    channels = json.loads(metadata.read_text())["network_data_format"]["outputs"]["pred"]
    for name in set(channels["channel_def"].values()) - {"background"}:
        assert meaning_of(name).type in codes.cid7151
