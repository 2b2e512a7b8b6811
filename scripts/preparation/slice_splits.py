"""Assignment of single slices to training, validation and test partitions.

Seeded, pure functions like those of :mod:`scripts.preparation.splits`. Partitions share patients:
these splits show that training works, but do not measure generalisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from random import Random

from scripts.datasets.shares import PARTITIONS, apportion, deal

PAPER_SLICES = (2258, 565)  # training and validation of 2,823 slices; the paper has no test slices
BLOCK_SHARES = (6, 2, 2)
HELD_BACK = 0.2  # share of slices with a nodule for test; of those without, for validation too


def assign_random_slices(
    slices: Mapping[str, Sequence[int]], *, seed: int = 0
) -> dict[tuple[str, int], str]:
    """Assign slices at random over all patients, as in the paper; patients leak by design.

    Args:
        slices: patient -> slice numbers.
        seed: seed of the random draw.

    Returns:
        (patient, slice) -> training or validation, 2,258 : 565; no test partition.

    Raises:
        ValueError: for fewer than two slices.
    """
    names = [(patient, number) for patient, numbers in slices.items() for number in numbers]
    if len(names) < 2:
        raise ValueError(f"split: slice_random needs at least 2 slices, got {len(names)}")
    training, validation = apportion(len(names), PAPER_SLICES, at_least=1)
    return deal(names, (training, validation, 0), Random(f"slice_random:{seed}"))


def assign_object_blocks(
    nodules: Mapping[tuple[str, int], Iterable[int]], *, seed: int = 0, gap: int = 1
) -> dict[tuple[str, int], str]:
    """Assign slices with a nodule, using a block from inside each nodule for test.

    In each run of consecutive slices with a nodule (one nodule, or several that overlap along z) a
    block at a random position is for test, the ``gap`` slices on either side of it for validation
    and the others for training, so that every nodule on a test slice has training slices below and
    above. Runs too short for that are for training, unless the test partition would be empty: then
    a test block may be at the end of a nodule. Image, patient and nodule are in every partition:
    this shows that training works on one scan, but does not measure generalisation.

    Args:
        nodules: (series uid, nodule id) -> its slices.
        seed: seed of the positions.
        gap: slices between a block and the training slices around it.

    Returns:
        (series uid, slice) -> partition.

    Raises:
        ValueError: when the test partition would be empty, or ``gap`` is below 1.
    """
    if gap < 1:
        raise ValueError(f"gap: must be at least 1 slice, got {gap}")
    for strict in (True, False):
        partitions = _place_runs(nodules, gap, Random(f"slice_block:{seed}"), strict=strict)
        if "test" in partitions.values():
            return partitions
    longest = max((len(run) for _, run, _ in _series_runs(nodules)), default=0)
    raise ValueError(
        f"split: slice_block leaves the test partition empty: it needs a nodule on at least "
        f"{3 + 2 * gap} consecutive slices (and --slices all), the longest run has {longest}"
    )


def _series_runs(
    nodules: Mapping[tuple[str, int], Iterable[int]],
) -> list[tuple[str, list[int], list[set[int]]]]:
    """Return series uid, slices, and slices of each nodule, for every run."""
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
    partitions: dict[tuple[str, int], str] = {}
    for uid, run, parts in _series_runs(nodules):
        layouts = _layouts(run, gap)
        if strict:
            layouts = [layout for layout in layouts if _is_inside(layout, parts)]
        layout = random.choice(layouts) if layouts else dict.fromkeys(run, "training")
        partitions |= {(uid, k): partition for k, partition in layout.items()}
    return partitions


def _layouts(run: Sequence[int], gap: int) -> list[dict[int, str]]:
    """Return all layouts of a run: training, validation, test block, validation, training."""
    length = max(1, round(HELD_BACK * (len(run) - 2 * gap)))
    held = length + 2 * gap
    return [
        dict.fromkeys(run, "training")
        | dict.fromkeys(run[start : start + held], "validation")
        | dict.fromkeys(run[start + gap : start + gap + length], "test")
        for start in range(1, len(run) - held)
    ]


def _is_inside(layout: Mapping[int, str], nodules: Iterable[set[int]]) -> bool:
    """Return whether every nodule on a test slice has training slices below and above it."""
    for nodule in nodules:
        tested = [k for k in nodule if layout.get(k) == "test"]
        training = [k for k in nodule if layout.get(k) == "training"]
        if tested and not (training and min(training) < min(tested) < max(training)):
            return False
    return True


def hold_back_ends(numbers: Iterable[int]) -> dict[int, str]:
    """Assign slices without nodule: lowest to validation, highest to test, others to training.

    Example:
        >>> hold_back_ends([3, 9, 20, 40, 55])[55]
        'test'
    """
    ordered = sorted(numbers)
    length = round(HELD_BACK * len(ordered))
    partitions = dict.fromkeys(ordered, "training")
    partitions |= dict.fromkeys(ordered[:length], "validation")
    return partitions | dict.fromkeys(ordered[len(ordered) - length :], "test")


def runs(slices: Iterable[int]) -> list[list[int]]:
    """Group numbers into runs of consecutive ones.

    Example:
        >>> runs([7, 3, 4, 8, 1])
        [[1], [3, 4], [7, 8]]
    """
    ordered = sorted(set(slices))
    if not ordered:
        return []
    grouped = [[ordered[0]]]
    for before, number in pairwise(ordered):
        if number != before + 1:
            grouped.append([])
        grouped[-1].append(number)
    return grouped


def assign_slice_blocks(
    slices: Mapping[str, Sequence[int]], *, block: int = 10, gap: int = 2, seed: int = 0
) -> dict[tuple[str, int], str]:
    """Assign blocks of neighbouring slices to partitions, with gaps between partitions.

    Each patient's slices are cut into blocks and assigned 6:2:2; fewer than three blocks are all
    for training. Between blocks of different partitions, slices within ``gap`` above the border are
    left out, so that no image is shared. The patient is in every partition: this shows that
    training works, but does not measure generalisation.

    Args:
        slices: patient -> slice numbers.
        block: slices per block.
        gap: slices (counted in the volume) between blocks of two partitions.
        seed: seed of the random draw.

    Returns:
        (patient, slice) -> partition; slices of a gap are absent.

    Raises:
        ValueError: when a partition would be empty: too few blocks, or none longer than the gap.
    """
    partitions: dict[tuple[str, int], str] = {}
    for patient in sorted(slices):
        numbers = sorted(slices[patient])
        blocks = [numbers[i : i + block] for i in range(0, len(numbers), block)]
        enough = len(blocks) >= len(PARTITIONS)
        counts = apportion(len(blocks), BLOCK_SHARES, at_least=1) if enough else (len(blocks), 0, 0)
        names = [(patient, i) for i in range(len(blocks))]
        dealt = deal(names, counts, Random(f"slice_block:{seed}:{patient}"))
        last: tuple[str, int] | None = None
        for name, members in zip(names, blocks, strict=True):
            free_from = last[1] + gap + 1 if last and last[0] != dealt[name] else 0
            kept = [number for number in members if number >= free_from]
            partitions |= {(patient, number): dealt[name] for number in kept}
            last = (dealt[name], kept[-1]) if kept else last
    missing = set(PARTITIONS) - set(partitions.values())
    if missing:
        raise ValueError(
            f"split: slice_block leaves {' and '.join(sorted(missing))} empty: it needs a patient "
            f"with 3 blocks of {block} slices, longer than the gap of {gap}; take a smaller --block"
        )
    return partitions
