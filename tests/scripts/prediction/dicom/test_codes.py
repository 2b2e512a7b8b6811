"""Every kind of segment has codes of the standard's own tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom.sr.codedict import codes

from scripts.prediction.appearance import colours_of
from scripts.prediction.dicom.codes import CODES, code_of
from scripts.prediction.result import Segment

BUNDLES = Path(__file__).resolve().parents[4] / "bundles"
EXPECTED = {
    "nodule": ("49755003", "27925004", "39607008"),
    "liver": ("91723000", "10200004", None),
    "bone": ("85756007", "3138006", None),
    "kidney": ("91723000", "64033007", None),
    "liver tumour": ("49755003", "108369006", "10200004"),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_kind_then_snomed_codes_of_the_standards_groups(kind):
    code = code_of(kind)
    region = code.region.value if code.region else None
    assert (code.category.value, code.type.value, region) == EXPECTED[kind]
    assert {code.category.scheme_designator, code.type.scheme_designator} == {"SCT"}
    assert code.category in codes.cid7150
    assert code.type in codes.cid7151


def test_colours_then_told_apart_and_those_of_the_report():
    assert len({code.rgb for code in CODES.values()}) == len(CODES)
    for kinds in (["liver", "bone", "kidney"], ["nodule"]):
        segments = [Segment(number, kind, kind) for number, kind in enumerate(kinds, start=1)]
        assert list(colours_of(segments).values()) == [CODES[kind].colour for kind in kinds]


@pytest.mark.parametrize(
    "metadata", sorted(BUNDLES.glob("*/configs/metadata.json")), ids=lambda p: p.parts[-3]
)
def test_channels_of_a_bundle_then_all_have_codes(metadata):
    channels = json.loads(metadata.read_text())["network_data_format"]["outputs"]["pred"]
    kinds = set(channels["channel_def"].values()) - {"background"}
    assert kinds <= set(CODES)
