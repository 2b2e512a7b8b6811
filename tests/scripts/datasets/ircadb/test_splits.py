import pytest

from scripts.datasets.ircadb.splits import (
    assign_folds,
    assign_patients,
    assign_random_slices,
    assign_slice_blocks,
)

PATIENTS = [f"3Dircadb1.{number}" for number in range(1, 21)]


def test_twenty_patients_then_16_2_2_and_kidneys_known_on_every_side():
    complete = {name: number >= 3 for number, name in enumerate(PATIENTS)}
    sections = assign_patients(complete, seed=3)
    sides = list(sections.values())
    assert [sides.count(s) for s in ("training", "validation", "test")] == [16, 2, 2]
    for side in ("training", "validation", "test"):
        assert any(complete[name] for name, section in sections.items() if section == side)


def test_order_of_names_then_no_matter_but_the_seed_does():
    complete = dict.fromkeys(PATIENTS, True)
    backwards = dict.fromkeys(reversed(PATIENTS), True)
    assert assign_patients(complete) == assign_patients(backwards)
    assert assign_patients(complete) != assign_patients(complete, seed=1)


def test_two_patients_then_refused_with_a_way_out():
    with pytest.raises(ValueError, match="at least 3 patients, got 2; .*--split slice_block"):
        assign_patients({"a": True, "b": True})


def test_no_patient_complete_then_still_dealt():
    assert set(assign_patients(dict.fromkeys("abcd", False)).values()) == {
        "training",
        "validation",
        "test",
    }


def test_folds_then_every_patient_tests_once():
    runs = [assign_folds(PATIENTS, folds=5, test_fold=k) for k in range(5)]
    tested = [name for run in runs for name, section in run.items() if section == "test"]
    assert sorted(tested) == sorted(PATIENTS)
    assert [list(runs[0].values()).count(s) for s in ("training", "validation")] == [12, 4]


def test_more_folds_than_patients_then_refused():
    with pytest.raises(ValueError, match="at most the number of patients, 2, got 3"):
        assign_folds(["a", "b"], folds=3)


PUBLISHED = [129, 172, 200, 91, 139, 135, 151, 124, 111, 122, 132, 260, 122, 113, 125, 155, 119, 74]
PUBLISHED += [124, 225]


def test_the_papers_random_slices_then_its_numbers_and_leaking():
    slices = {name: range(count) for name, count in zip(PATIENTS, PUBLISHED, strict=True)}
    sections = assign_random_slices(slices)
    sides = list(sections.values())
    assert (sides.count("training"), sides.count("validation")) == (2258, 565)
    held = {name for (name, _), section in sections.items() if section == "validation"}
    assert held == set(PATIENTS)


def test_single_slice_then_no_random_split():
    with pytest.raises(ValueError, match="at least 2 slices, got 1"):
        assign_random_slices({"a": [0]})


@pytest.mark.parametrize("gap", [1, 2, 4])
def test_blocks_then_no_slice_within_the_gap_of_another_section(gap):
    sections = assign_slice_blocks({"a": range(119)}, block=10, gap=gap)
    numbers = {number: section for (_, number), section in sections.items()}
    for number, section in numbers.items():
        beside = range(number - gap, number + gap + 1)
        assert {numbers.get(k, section) for k in beside} == {section}
    assert set(numbers.values()) == {"training", "validation", "test"}
    training = list(numbers.values()).count("training")
    assert 0.5 < training / len(numbers) < 0.8


def test_short_patient_beside_a_long_one_then_trains():
    sections = assign_slice_blocks({"long": range(60), "short": range(15)}, block=10)
    assert {s for (name, _), s in sections.items() if name == "short"} == {"training"}


def test_too_few_blocks_then_refused():
    with pytest.raises(ValueError, match="leaves test and validation empty: .*smaller --block"):
        assign_slice_blocks({"a": range(19)}, block=10)
