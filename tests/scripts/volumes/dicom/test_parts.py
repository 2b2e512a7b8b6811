"""Volumes of one series: divided by what the headers say, and what numbers tell of lost slices."""

from dataclasses import replace

import pytest

from scripts.volumes.dicom.parts import (
    MARKS,
    SliceFacts,
    is_single,
    numbering_notes,
    parts_of,
)


def fact(z, number=None, *, stated=0, **marks):
    return SliceFacts(
        instance=f"1.{z}.{sorted(marks.items())}",
        shape=(6, 8),
        position=(0.0, 0.0, float(z)),
        orientation=(1, 0, 0, 0, 1, 0),
        number=number,
        stated=stated,
        marks=tuple(str(marks.get(keyword, "")) for keyword in MARKS),
    )


def divided(facts):
    return [(part.by, [facts[i].place[2] for i in part.members]) for part in parts_of(facts)]


ZS = [0, 2, 4, 6]


@pytest.mark.parametrize(
    "keyword", ["AcquisitionNumber", "TriggerTime", "EchoTime", "KVP", "ConvolutionKernel"]
)
def test_two_volumes_then_divided_by_the_element_that_tells_them_apart(keyword):
    facts = [fact(z, **{keyword: 10 * n}) for z in ZS for n in (11, 2)]
    assert divided(facts) == [(keyword, ZS), (keyword, ZS)]
    assert [part.value for part in parts_of(facts)] == ["20", "110"]


def test_each_slice_at_its_own_time_then_divided_where_a_position_comes_again():
    facts = [fact(z, AcquisitionTime=f"10{n}{z:02d}.5") for z in ZS for n in (30, 10)]
    assert divided(facts) == [("AcquisitionTime", ZS), ("AcquisitionTime", ZS)]


def test_one_stack_then_never_divided():
    facts = [fact(z, AcquisitionNumber=z % 4, AcquisitionTime=z) for z in ZS]
    assert divided(facts) == [("", ZS)]


def test_slice_missing_from_a_series_of_two_acquisitions_then_whole_for_the_check_of_the_stack():
    facts = [fact(z, AcquisitionNumber=z < 4) for z in (0, 2, 6, 8)]
    assert len(parts_of(facts)) == 1


@pytest.mark.parametrize("marks", [{}, {"AcquisitionNumber": 2}], ids=["no mark", "not a stack"])
def test_doubled_slice_that_nothing_makes_a_stack_then_whole(marks):
    assert len(parts_of([*(fact(z) for z in ZS), fact(4, **marks)])) == 1


def test_two_patients_then_divided_where_each_is_a_stack_and_else_never_joined():
    facts = [fact(z, PatientID=name) for z in ZS for name in "ab"]
    assert [by for by, _ in divided(facts)] == ["PatientID", "PatientID"]


def test_facts_of_other_size_or_direction_then_no_stack():
    facts = [fact(z, AcquisitionNumber=n) for z in ZS for n in (1, 2)]
    facts[-1] = replace(facts[-1], shape=(6, 9))
    assert len(parts_of(facts)) == 1


def test_slices_in_one_place_then_single():
    assert is_single([fact(4), fact(4)])
    assert not is_single([fact(4), fact(6)])
    assert not is_single([replace(fact(4), position=None)])


@pytest.mark.parametrize(
    ("numbers", "others", "note"),
    [
        ([1, 2, 3], [], None),
        ([0, 1, 2], [], None),
        ([3, 2, 1], [], None),
        ([2, 3, 4], [1], None),
        ([1001, 1002, 1003], [], None),
        ([2, 3, 4], [], "numbered 2 to 4, 1 numbers are missing (1)"),
        ([1, 2, 5], [], "2 numbers are missing (3, 4)"),
        ([1, 3, 5], [], "2 numbers are missing (2, 4)"),
        ([None, 2, 3], [], None),
        ([7, 7, 7], [], None),
    ],
)
def test_numbers_then_a_note_where_some_are_missing(numbers, others, note):
    facts = [fact(2 * k, number) for k, number in enumerate(numbers)]
    told = numbering_notes(facts, [*(n for n in numbers if n is not None), *others])
    assert bool(told) is bool(note)
    assert note is None or note in told[0]


def test_more_images_stated_than_there_are_then_a_note():
    facts = [fact(2 * k, k + 1, stated=5) for k in range(4)]
    assert "state 5 images in the series, 4 are there" in numbering_notes(facts, [1, 2, 3, 4])[0]
    assert not numbering_notes(facts, [1, 2, 3, 4, 5])
