"""Who trains, who validates, who tests: seeded, pure functions from names to sections.

The same names and the same seed give the same sections on every machine, in whatever order the
names come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Any

from scripts.splits import PATIENT_SHARES, SECTIONS, apportion, deal

KINDS = ("patient", "nodule", "subset", "slice_block")
LEAKING_KINDS = {
    "nodule": "nodules of one patient stand on several sides, as in the paper",
    "slice_block": "slices of one nodule stand on several sides, for trying on a single scan",
}
PAPER_NODULES = (949, 110, 127)  # Ma, Wei, Ma 2020: of 1,186 nodules
FOLDS = 10
HELD_BACK = 0.2  # of a nodule's slices, for validation and again for test
HELD_SECTIONS = ("validation", "test")


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
    slices: Mapping[str, Iterable[int]], *, seed: int = 0, gap: int = 1
) -> dict[tuple[str, int], str]:
    """Section of every slice with a nodule: blocks from inside each nodule are held back.

    Each run of consecutive slices with a nodule (a nodule, or several that overlap along z) gives
    a validation and a test block, in seeded order and at seeded places, with training slices below,
    between and above them and ``gap`` slices left out on both sides of a block. Runs too short for
    two blocks hold back one, for test and validation in turn; the shortest all train. Image,
    patient and nodule are the same on all sides: this shows that training works on one scan, and
    does not measure generalisation.

    Args:
        slices: slices with a nodule, of every series.
        seed: another seed, other places.
        gap: slices between a block and the training slices around it.

    Returns:
        Section of (series uid, slice); slices of a gap are absent.

    Raises:
        ValueError: when a section would be empty, or ``gap`` is below 1.
    """
    if gap < 1:
        raise ValueError(f"gap: must be at least 1 slice, got {gap}")
    sections: dict[tuple[str, int], str] = {}
    random = Random(f"slice_block:{seed}")
    every_run = [(name, run) for name in sorted(slices) for run in runs(slices[name])]
    turn = random.randrange(len(HELD_SECTIONS))
    for uid, run in every_run:
        held = list(HELD_SECTIONS)
        random.shuffle(held)
        if len(run) < shortest_run(2, gap):
            held = [HELD_SECTIONS[turn]]
            turn = (turn + 1) % len(HELD_SECTIONS)
        if len(run) < shortest_run(1, gap):
            held = []
        sections |= {(uid, k): section for k, section in _blocks(run, held, gap, random)}
    missing = set(SECTIONS) - set(sections.values())
    if missing:
        raise ValueError(
            f"split: slice_block leaves {' and '.join(sorted(missing))} empty: it needs a nodule "
            f"on at least {shortest_run(2, gap)} consecutive slices, or two on "
            f"{shortest_run(1, gap)} (and --slices all), the longest run has "
            f"{max((len(run) for _, run in every_run), default=0)}"
        )
    return sections


def shortest_run(blocks: int, gap: int) -> int:
    """Slices in the shortest run that can hold back so many blocks of one slice.

    Example:
        >>> shortest_run(1, gap=1)  # training, gap, block, gap, training
        5
    """
    return blocks + 2 * gap * blocks + blocks + 1


def _blocks(
    run: Sequence[int], held: Sequence[str], gap: int, random: Random
) -> list[tuple[int, str]]:
    """Lay out a run: training slices, a gap, a block, a gap, training slices, and so on."""
    usable = len(run) - 2 * gap * len(held)
    length = max(1, round(HELD_BACK * usable))
    training = usable - length * len(held)
    cuts = [0, *sorted(random.sample(range(1, training), len(held))), training]
    placed: list[tuple[int, str]] = []
    start = 0
    for (low, high), section in zip(pairwise(cuts), [*held, ""], strict=True):
        stop = start + high - low
        placed += [(k, "training") for k in run[start:stop]]
        start = stop + gap
        if section:
            placed += [(k, section) for k in run[start : start + length]]
            start += length + gap
    return placed


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
