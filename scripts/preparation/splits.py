"""Assignment of patients and objects to training, validation and test partitions.

Seeded, pure functions from names to partitions: the same names and seed give the same partitions on
every machine and in any order of the names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any

from scripts.datasets.contract import DataSet, Kind
from scripts.datasets.shares import PARTITIONS, PATIENT_SHARES, Name, apportion, deal

PAPER_NODULES = (949, 110, 127)  # Ma, Wei, Ma 2020: of 1,186 nodules


@dataclass(frozen=True)
class Split:
    """A way to divide a cohort.

    Args:
        meaning: short description for the help.
        leak: why it does not measure generalisation; empty if it does.
        tested: whether it has a test partition.
    """

    meaning: str
    leak: str = ""
    tested: bool = True


FOLD_SPLITS = ("fold", "nodule_fold")
ALL_TEST, ALL_VALIDATION = "test_only", "validation_only"
ONE_PARTITION = {ALL_TEST: "test", ALL_VALIDATION: "validation"}
WHOLE_SPLITS = {
    "patient": Split("each patient in one partition"),
    "fold": Split("k folds by patient"),
    ALL_TEST: Split("everyone in test, for a network that is already trained"),
    ALL_VALIDATION: Split(
        "everyone in validation, to calibrate networks that are already trained", tested=False
    ),
}
SHARED_SPLITS: Mapping[Kind, Mapping[str, Split]] = {
    "instances": {
        **WHOLE_SPLITS,
        "nodule": Split(
            "drawn over nodules, as in the paper; leaks patients",
            leak="nodules of one patient are in more than one partition, as in the paper",
        ),
        "nodule_fold": Split(
            "k folds by nodule, to measure that leak; leaks patients",
            leak="nodules of one patient are in more than one partition",
        ),
        "slice_block": Split(
            "blocks of slices, for trials on one scan",
            leak="slices of one nodule are in every partition, for trying out on a single scan",
        ),
    },
    "classes": {
        **WHOLE_SPLITS,
        "slice_random": Split(
            "drawn over slices, as in the paper; leaks patients",
            leak="neighbouring slices of one patient are in both partitions, as in the paper",
            tested=False,
        ),
        "slice_block": Split(
            "blocks of slices, for trials on one patient",
            leak="slices of one patient are in every partition, for trying out on one patient",
        ),
    },
}


def kinds_of(data_set: DataSet | type[DataSet]) -> tuple[Kind, ...]:
    """Return the kind of a data set; both kinds for a class with an option for it."""
    if isinstance(data_set, DataSet):
        return (data_set.kind,)
    if any(option.name == "kind" for option in fields(data_set)):  # type: ignore[arg-type]
        return ("instances", "classes")
    kind: Any = data_set.kind
    return (kind,)


def splits_of(data_set: DataSet | type[DataSet]) -> dict[str, Split]:
    """Return the splits of a data set: those of its kind, and its own."""
    splits: dict[str, Split] = {}
    for kind in kinds_of(data_set):
        splits |= {name: split for name, split in SHARED_SPLITS[kind].items() if name not in splits}
    for name, meaning in data_set.splits.items():
        leak = data_set.leaking_splits.get(name, "")
        splits[name] = Split(meaning, leak, name not in data_set.untested_splits)
    return splits


def assign_patients(
    complete: Mapping[str, bool],
    *,
    seed: int = 0,
    shares: tuple[int, int, int] = PATIENT_SHARES,
    needed: str = "",
) -> dict[str, str]:
    """Assign every patient to a partition, by shares.

    Patients with complete annotation (with objects, or with all classes known) are assigned
    separately from the others if there are at least three, so that each partition of a small cohort
    has some.

    Args:
        complete: patient -> whether the annotation is complete.
        seed: seed of the random draw.
        shares: relative sizes of training, validation and test.
        needed: description of complete patients, such as "with nodules", if at least three of them
            are required; empty if not.

    Returns:
        Patient -> partition.

    Raises:
        ValueError: for fewer than three patients: no partition may be empty.

    Example:
        >>> assign_patients({"1": True, "2": True, "3": True, "4": False})
        {'1': 'training', '3': 'validation', '2': 'test', '4': 'training'}
    """
    having = [patient for patient, whole in complete.items() if whole]
    if len(having) < len(PARTITIONS) and not needed:
        having = list(complete)
    if len(having) < len(PARTITIONS):
        raise ValueError(
            f"split: patient needs at least 3 patients{needed and f' {needed}'}, one for each of "
            f"{', '.join(PARTITIONS)}, got {len(having)}; prepare more, or for a trial use "
            f"--split slice_block (which does not measure generalisation)"
        )
    chosen = set(having)
    lacking = [patient for patient in complete if patient not in chosen]
    random = Random(f"patient:{seed}")
    partitions = deal(having, apportion(len(having), shares, at_least=1), random)
    return partitions | deal(lacking, apportion(len(lacking), shares), random)


def assign_folds(
    names: Collection[Name], *, folds: int = 5, test_fold: int = 0, seed: int = 0
) -> dict[Name, str]:
    """Assign patients by folds: fold k to test, fold k + 1 to validation, the others to training.

    With one seed, each patient is in the test partition of exactly one fold.

    Args:
        names: the patients, or (series uid, nodule id) for folds that leak patients.
        folds: number of folds.
        test_fold: k, from 0.
        seed: seed of the random draw.

    Returns:
        Name -> partition.

    Raises:
        ValueError: for fewer names than folds.

    Example:
        >>> assign_folds("abc", folds=3)
        {'a': 'test', 'c': 'validation', 'b': 'training'}
    """
    if len(names) < folds:
        raise ValueError(
            f"folds: must be at most the number of patients or nodules, {len(names)}, got {folds}"
        )
    shuffled = sorted(names)
    Random(f"fold:{seed}").shuffle(shuffled)
    held_out = {test_fold: "test", (test_fold + 1) % folds: "validation"}
    return {name: held_out.get(i % folds, "training") for i, name in enumerate(shuffled)}


def assign_nodules(names: Iterable[tuple[str, int]], *, seed: int = 0) -> dict[Any, str]:
    """Assign nodules at random over all patients, as in the paper; patients leak by design.

    Args:
        names: (series uid, nodule id) of every nodule, or (series uid, slice).
        seed: seed of the random draw.

    Returns:
        Name -> partition.

    Raises:
        ValueError: for fewer than three names.
    """
    known = sorted(set(names))
    if len(known) < len(PARTITIONS):
        raise ValueError(f"split: nodule needs at least 3 nodules, got {len(known)}")
    counts = apportion(len(known), PAPER_NODULES, at_least=1)
    return deal(known, counts, Random(f"nodule:{seed}"))
