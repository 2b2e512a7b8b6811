"""Who trains, who validates, who tests: seeded, pure functions from names to sections."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random

from scripts.datasets.shares import PATIENT_SHARES, SECTIONS, apportion, deal

PAPER_SLICES = (2258, 565, 0)  # training and validation of 2,823 slices; the paper tests nothing
BLOCK_SHARES = (6, 2, 2)
LEAKING_KINDS = {
    "slice_random": "neighbouring slices of one patient stand on both sides, as in the paper",
    "slice_block": "slices of one patient stand on all sides: for trying on one patient",
}


def assign_patients(complete: Mapping[str, bool], *, seed: int = 0) -> dict[str, str]:
    """Section of every patient, 8:1:1.

    Patients in whom every class is known are dealt apart from the others where there are enough,
    so that every side can measure every class.

    Args:
        complete: patient -> whether every class is known in it.
        seed: another seed, another draw.

    Raises:
        ValueError: for fewer than three patients.

    Example:
        >>> assign_patients({"1": True, "2": True, "3": True, "4": False})
        {'1': 'training', '3': 'validation', '2': 'test', '4': 'training'}
    """
    if len(complete) < len(SECTIONS):
        raise ValueError(
            f"split: patient needs at least 3 patients, got {len(complete)}; prepare more, or try "
            "with --split slice_block (which does not measure generalisation)"
        )
    random = Random(f"patient:{seed}")
    having = [name for name, whole in complete.items() if whole]
    if len(having) < len(SECTIONS):
        having = list(complete)
    lacking = [name for name in complete if name not in having]
    sections = deal(having, apportion(len(having), PATIENT_SHARES, at_least=1), random)
    return sections | deal(lacking, apportion(len(lacking), PATIENT_SHARES), random)


def assign_folds(
    names: Collection[str], *, folds: int = 5, test_fold: int = 0, seed: int = 0
) -> dict[str, str]:
    """Section of every patient by k folds: fold k tests, fold k + 1 validates, the rest trains.

    With one seed, each patient is in the test section of exactly one fold.

    Raises:
        ValueError: for fewer patients than folds.

    Example:
        >>> assign_folds("abc", folds=3)
        {'a': 'test', 'c': 'validation', 'b': 'training'}
    """
    if len(names) < folds:
        raise ValueError(
            f"folds: must be at most the number of patients, {len(names)}, got {folds}"
        )
    shuffled = sorted(names)
    Random(f"fold:{seed}").shuffle(shuffled)
    named = {test_fold: "test", (test_fold + 1) % folds: "validation"}
    return {name: named.get(i % folds, "training") for i, name in enumerate(shuffled)}


def assign_random_slices(
    slices: Mapping[str, Sequence[int]], *, seed: int = 0
) -> dict[tuple[str, int], str]:
    """Section of every slice, drawn over all slices as in the paper: leaks patients by design.

    Args:
        slices: slices of every patient.
        seed: another seed, another draw.

    Returns:
        Section of (patient, slice): training or validation, 2,258 : 565; none tests.

    Raises:
        ValueError: for fewer than two slices.
    """
    names = [(patient, number) for patient, numbers in slices.items() for number in numbers]
    if len(names) < 2:
        raise ValueError(f"split: slice_random needs at least 2 slices, got {len(names)}")
    training, validation = apportion(len(names), PAPER_SLICES[:2], at_least=1)
    return deal(names, (training, validation, 0), Random(f"slice_random:{seed}"))


def assign_slice_blocks(
    slices: Mapping[str, Sequence[int]], *, block: int = 10, gap: int = 2, seed: int = 0
) -> dict[tuple[str, int], str]:
    """Section of every slice: blocks of neighbouring slices are held back, gaps left out.

    Each patient's slices are cut into blocks, dealt 6:2:2; fewer than three all train. Where
    neighbouring blocks differ in their section, slices within ``gap`` above the border are left
    out, so that no image is shared. The patient is the same on all sides: this shows that training
    works, and does not measure generalisation.

    Args:
        slices: slices of every patient.
        block: slices in a block.
        gap: slices (counted in the volume) between blocks of two sections.
        seed: another seed, another deal.

    Returns:
        Section of (patient, slice); slices of a gap are absent.

    Raises:
        ValueError: when a section would be empty: too few blocks, or none longer than the gap.
    """
    sections: dict[tuple[str, int], str] = {}
    for patient in sorted(slices):
        numbers = sorted(slices[patient])
        blocks = [numbers[i : i + block] for i in range(0, len(numbers), block)]
        enough = len(blocks) >= len(SECTIONS)
        counts = apportion(len(blocks), BLOCK_SHARES, at_least=1) if enough else (len(blocks), 0, 0)
        names = [(patient, i) for i in range(len(blocks))]
        dealt = deal(names, counts, Random(f"slice_block:{seed}:{patient}"))
        last: tuple[str, int] | None = None
        for name, members in zip(names, blocks, strict=True):
            free_from = last[1] + gap + 1 if last and last[0] != dealt[name] else 0
            kept = [number for number in members if number >= free_from]
            sections |= {(patient, number): dealt[name] for number in kept}
            last = (dealt[name], kept[-1]) if kept else last
    missing = set(SECTIONS) - set(sections.values())
    if missing:
        raise ValueError(
            f"split: slice_block leaves {' and '.join(sorted(missing))} empty: it needs a patient "
            f"with 3 blocks of {block} slices, longer than the gap of {gap}; take a smaller --block"
        )
    return sections
