"""Segments painted into one map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from scripts.datasets.segments.label_values import paint
from scripts.datasets.segments.segment_file import CtGrid, Drawn, Segment, SegmentFile

CT = CtGrid("ct", (1, 2, 4), np.eye(4))
ONE, TWO, THREE = (Segment(number, f"s{number}") for number in (1, 2, 3))


@dataclass(frozen=True)
class Drawing(SegmentFile):
    kind: ClassVar[str] = "RTSTRUCT"
    voxels: tuple = ()

    def draw(self, numbers, ct):
        given = {number: np.array(self.voxels[number - 1]) for number in numbers}
        return Drawn(given, ("a rule",))


def painted(voxels, values, *, ct=CT, **options):
    file = Drawing(Path("a.dcm"), [ONE, TWO, THREE], voxels=voxels)
    return paint(file, values, ct, **options)


def test_segments_then_the_value_of_their_class_and_the_notes_of_the_file():
    label, notes = painted([[0, 1], [1, 2], [7]], {2: (ONE, TWO), 1: (THREE,)})
    assert label.tolist() == [[[2, 2, 2, 0], [0, 0, 0, 1]]]
    assert (label.dtype, notes) == (np.uint8, ("a rule",))


def test_segments_of_two_classes_that_overlap_then_refused_with_the_number():
    with pytest.raises(ValueError, match="segment 's2' shares 2 voxels with 's1'; --overlaps last"):
        painted([[0, 1, 2], [1, 2, 3], []], {1: (ONE,), 2: (TWO,)})


def test_segments_that_overlap_when_the_last_wins_then_the_higher_value_and_noted():
    label, notes = painted([[0, 1, 2], [1], []], {2: (TWO,), 1: (ONE,)}, last_wins=True)
    assert label[0, 0].tolist() == [1, 2, 1, 0]
    assert notes[1] == "segments overlap; voxels of 's2' count as its own only"


def test_segment_on_every_second_slice_then_refused_and_a_slice_left_out_noted():
    ct = CtGrid("ct", (9, 1, 1), np.eye(4))
    with pytest.raises(ValueError, match=r"a\.dcm: 's1' is drawn on every 2nd slice only"):
        painted([[1, 3, 5]], {1: (ONE,)}, ct=ct)
    _, notes = painted([[1, 2, 4, 5]], {1: (ONE,)}, ct=ct)
    assert notes[1].startswith("a.dcm: 's1' is not drawn on one slice between its own")
