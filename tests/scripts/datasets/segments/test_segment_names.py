"""Which segments mean a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from scripts.datasets.segments.segment_file import Drawn, Segment, SegmentFile
from scripts.datasets.segments.segment_names import choose


@dataclass(frozen=True)
class Named(SegmentFile):
    """A file with segments, and nothing in it."""

    kind: ClassVar[str] = "DICOM SEG"

    def draw(self, numbers, ct):
        return Drawn({})


def file_of(*names, **codes_):
    segments = [Segment(n, name) for n, name in enumerate(names)]
    segments += [Segment(n, n, type=code) for n, code in codes_.items()]
    return Named(Path("a.dcm"), segments, "reader 1")


def names(file, classes, named=None, *, join=False):
    chosen = choose(file, classes, named or {}, join=join)
    left = [segment.name for segment in chosen.left_out]
    return {key: [one.name for one in own] for key, own in chosen.segments.items()}, left


def test_names_then_without_capitals_blanks_and_hyphens():
    file = file_of("Left_Kidney", "BODY", "liver ")
    assert names(file, ["liver", "kidney-left", "left kidney"]) == (
        {"liver": ["liver "], "left kidney": ["Left_Kidney"]}, ["BODY"],
    )  # fmt: skip


def test_name_with_accents_written_apart_then_the_same():
    file = file_of("La\u0308sion")
    assert names(file, ["lesion"], {"lesion": ["L\u00e4sion"]})[0] == {"lesion": ["La\u0308sion"]}


def test_code_of_a_class_when_no_name_fits_then_taken():
    file = file_of("Segment_1", x=codes.SCT.Spleen, y=Code("T-62000", "SRT", "Liver"))
    assert names(file, ["liver", "spleen"])[0] == {"liver": ["y"], "spleen": ["x"]}


def test_code_when_the_side_differs_then_not_taken():
    left = Segment(1, "k", codes.SCT.Kidney, side=codes.SCT.Left)
    file = Named(Path("a.dcm"), [left])
    assert names(file, ["kidney"])[0] == {}
    assert names(file, ["left kidney"])[0] == {"left kidney": ["k"]}


def test_option_then_names_patterns_and_codes_joined_in_one_class():
    file = file_of("Leber", "GTV-1", "gtv 2", "GTVnot", x=codes.SCT.Liver)
    named = {"liver": ["leber", "SCT:10200004"], "tumour": ["GTV *"]}
    assert names(file, ["liver", "tumour"], named) == (
        {"liver": ["Leber", "x"], "tumour": ["GTV-1", "gtv 2"]}, ["GTVnot"],
    )  # fmt: skip


def test_option_then_the_name_of_the_class_itself_does_not_count():
    assert names(file_of("liver", "Leber"), ["liver"], {"liver": ["Leber"]})[0] == {
        "liver": ["Leber"]
    }


def test_brackets_in_a_name_then_plain_letters():
    assert names(file_of("GTV[1]", "GTV1"), ["t"], {"t": ["GTV[1]"]})[0] == {"t": ["GTV[1]"]}


def test_several_of_one_class_then_refused_unless_they_are_lesions():
    file = file_of("Nodule", "nodule")
    with pytest.raises(
        ValueError, match=r"reader 1.*has 2 segments that mean nodule: 'Nodule', 'no"
    ):
        names(file, ["nodule"])
    assert names(file, ["nodule"], join=True)[0] == {"nodule": ["Nodule", "nodule"]}


def test_segment_of_two_classes_then_refused():
    with pytest.raises(ValueError, match="segment 'GTV 1' is of several classes: a, b"):
        names(file_of("GTV 1"), ["a", "b"], {"a": ["GTV*"], "b": ["GTV 1"]})
