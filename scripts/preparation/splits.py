"""Who trains, who validates, who tests: seeded, pure functions from names to sections.

The same names and the same seed give the same sections on every machine, in whatever order the
names come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Any

from scripts.datasets.shares import PATIENT_SHARES, SECTIONS, apportion, deal

KINDS = ("patient", "nodule", "subset", "slice_block")
LEAKING_KINDS = {
    "nodule": "nodules of one patient stand on several sides, as in the paper",
    "slice_block": "slices of one nodule stand on several sides, for trying on a single scan",
}
PAPER_NODULES = (949, 110, 127)  # Ma, Wei, Ma 2020: of 1,186 nodules
FOLDS = 10
HELD_BACK = 0.2  # of the slices with a nodule, for test; of those without, for validation too


def assign_patients(
    nodules: Mapping[str, int], *, seed: int = 0, shares: tuple[int, int, int] = PATIENT_SHARES
) -> dict[str, str]:
    """Section of every patient; patients with and without nodules are dealt apart.

    Dealing them apart keeps nodules on every side of a small cohort.

    Args:
        nodules: how many nodules each patient has.
        seed: another seed, another draw.
        shares: relative sizes of training, validation and test.

    Raises:
        ValueError: when fewer than three patients have nodules: no side may be without one.
    """
    having = [patient for patient, count in nodules.items() if count > 0]
    lacking = [patient for patient, count in nodules.items() if count == 0]
    if len(having) < len(SECTIONS):
        raise ValueError(
            f"split: patient needs at least 3 patients with nodules, one for each of "
            f"{', '.join(SECTIONS)}, got {len(having)}; prepare more scans, or try with "
            f"--split slice_block (which does not measure generalisation)"
        )
    random = Random(f"patient:{seed}")
    sections = deal(having, apportion(len(having), shares, at_least=1), random)
    return sections | deal(lacking, apportion(len(lacking), shares), random)


def assign_nodules(names: Iterable[tuple[str, int]], *, seed: int = 0) -> dict[Any, str]:
    """Section of every nodule, drawn over nodules as in the paper: leaks patients by design.

    Args:
        names: (series uid, nodule id) of every nodule; or of anything else to be drawn likewise.
        seed: another seed, another draw.

    Raises:
        ValueError: for fewer than three nodules.
    """
    known = sorted(set(names))
    if len(known) < len(SECTIONS):
        raise ValueError(f"split: nodule needs at least 3 nodules, got {len(known)}")
    counts = apportion(len(known), PAPER_NODULES, at_least=1)
    return deal(known, counts, Random(f"nodule:{seed}"))


def assign_subsets(subsets: Mapping[str, int], *, test_fold: int = 0) -> dict[str, str]:
    """Section of every series by LUNA16's ten folds: fold k tests, fold k + 1 validates.

    Args:
        subsets: number (0-9) of the subset folder that each series lies in.
        test_fold: k.

    Raises:
        ValueError: when k is no fold, or a side would be empty.
    """
    if test_fold not in range(FOLDS):
        raise ValueError(f"test_fold: must be 0 to {FOLDS - 1}, got {test_fold}")
    validation_fold = (test_fold + 1) % FOLDS
    named = {test_fold: "test", validation_fold: "validation"}
    there = sorted(set(subsets.values()))
    if not {test_fold, validation_fold} < set(there):
        raise ValueError(
            f"split: subset with test_fold {test_fold} needs scans in subset{test_fold} (test), "
            f"subset{validation_fold} (validation) and any other (training), got scans in "
            f"{', '.join(f'subset{k}' for k in there) or 'none'}"
        )
    return {uid: named.get(subset, "training") for uid, subset in subsets.items()}


def assign_slices(
    nodules: Mapping[tuple[str, int], Iterable[int]], *, seed: int = 0, gap: int = 1
) -> dict[tuple[str, int], str]:
    """Section of every slice with a nodule: a block from inside each nodule is tested on.

    In each run of consecutive slices with a nodule (a nodule, or several that overlap along z) a
    block at a seeded place is for test, the ``gap`` slices on either side of it for validation and
    the others for training, so that every nodule on a test slice has training slices below and
    above. Runs too short for that all train, unless no section would be left for test: then a
    nodule may be tested at its end. Image, patient and nodule are the same on all sides: this
    shows that training works on one scan, and does not measure generalisation.

    Args:
        nodules: (series uid, nodule id) -> its slices.
        seed: another seed, other places.
        gap: slices between a block and the training slices around it.

    Raises:
        ValueError: when there would be nothing to test on, or ``gap`` is below 1.
    """
    if gap < 1:
        raise ValueError(f"gap: must be at least 1 slice, got {gap}")
    for strict in (True, False):
        sections = _place_runs(nodules, gap, Random(f"slice_block:{seed}"), strict=strict)
        if "test" in sections.values():
            return sections
    longest = max((len(run) for _, run, _ in _series_runs(nodules)), default=0)
    raise ValueError(
        f"split: slice_block leaves nothing to test on: it needs a nodule on at least "
        f"{3 + 2 * gap} consecutive slices (and --slices all), the longest run has {longest}"
    )


def _series_runs(
    nodules: Mapping[tuple[str, int], Iterable[int]],
) -> list[tuple[str, list[int], list[set[int]]]]:
    """Series uid, slices, and slices of each of its nodules, for every run."""
    by_series: dict[str, list[set[int]]] = {}
    for (uid, _), numbers in sorted(nodules.items()):
        by_series.setdefault(uid, []).append(set(numbers))
    return [
        (uid, run, [part for part in parts if part & set(run)])
        for uid, parts in by_series.items()
        for run in runs(set().union(*parts))
    ]


def _place_runs(
    nodules: Mapping[tuple[str, int], Iterable[int]], gap: int, random: Random, *, strict: bool
) -> dict[tuple[str, int], str]:
    sections: dict[tuple[str, int], str] = {}
    for uid, run, parts in _series_runs(nodules):
        layouts = _layouts(run, gap)
        if strict:
            layouts = [layout for layout in layouts if _is_inside(layout, parts)]
        layout = random.choice(layouts) if layouts else dict.fromkeys(run, "training")
        sections |= {(uid, k): section for k, section in layout.items()}
    return sections


def _layouts(run: Sequence[int], gap: int) -> list[dict[int, str]]:
    """Every way to lay out a run: training, validation, the test block, validation, training."""
    length = max(1, round(HELD_BACK * (len(run) - 2 * gap)))
    held = length + 2 * gap
    return [
        dict.fromkeys(run, "training")
        | dict.fromkeys(run[start : start + held], "validation")
        | dict.fromkeys(run[start + gap : start + gap + length], "test")
        for start in range(1, len(run) - held)
    ]


def _is_inside(layout: Mapping[int, str], nodules: Iterable[set[int]]) -> bool:
    """Whether every nodule on a test slice has training slices below and above it."""
    for nodule in nodules:
        tested = [k for k in nodule if layout.get(k) == "test"]
        training = [k for k in nodule if layout.get(k) == "training"]
        if tested and not (training and min(training) < min(tested) < max(training)):
            return False
    return True


def hold_back_ends(numbers: Iterable[int]) -> dict[int, str]:
    """Section of slices without nodule: the lowest validate, the highest test, the others train.

    Example:
        >>> hold_back_ends([3, 9, 20, 40, 55])[55]
        'test'
    """
    ordered = sorted(numbers)
    length = round(HELD_BACK * len(ordered))
    sections = dict.fromkeys(ordered, "training")
    sections |= dict.fromkeys(ordered[:length], "validation")
    return sections | dict.fromkeys(ordered[len(ordered) - length :], "test")


def runs(slices: Iterable[int]) -> list[list[int]]:
    """Group numbers into runs of consecutive ones.

    Example:
        >>> runs([7, 3, 4, 8, 1])
        [[1], [3, 4], [7, 8]]
    """
    ordered = sorted(set(slices))
    if not ordered:
        return []
    found = [[ordered[0]]]
    for before, number in pairwise(ordered):
        if number != before + 1:
            found.append([])
        found[-1].append(number)
    return found
