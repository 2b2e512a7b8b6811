"""Cases that none of several networks has seen in training, by the hashes in their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.bundle.training_scans import TrainingScans, ids_of

Case = Mapping[str, Any]


def held_out_cases(
    cases: Sequence[Case], trained_on: Sequence[TrainingScans], datalist: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Keep the cases that calibrate: no member was trained on them or sets them aside for its test.

    Networks agree on what they have memorised, so that a limit from it would be too high. A
    further scan of a patient whose scan was in a training counts like that scan. Of the k folds of
    one cross-validation no case is left: each was in the training of some.

    Args:
        cases: of the datalist.
        trained_on: of each network.
        datalist: of the cases; it says which scans are of one patient, and completes files that
            lack validation and test cases.

    Returns:
        The cases, numbered anew; and a line on those that were left out for each reason.

    Raises:
        ValueError: for a network whose scans are not known, or when no case is left.
    """
    known = [scans.completed(datalist).with_patients(datalist) for scans in trained_on]
    if any(not one.cases or one.validation is None or one.test is None for one in known):
        raise ValueError(
            "ckpt_path: a file does not say which scans its network was trained and tested on, so "
            "that none can be used for the calibration; train it again with this version"
        )
    seen = [any(scans.includes(ids_of(case)) for scans in known) for case in cases]
    tests = [any(scans.set_aside(ids_of(case)) for scans in known) for case in cases]
    pairs = zip(cases, seen, tests, strict=True)
    kept = [case for case, was_seen, is_test in pairs if not was_seen and not is_test]
    only_test = sum(test and not trained for trained, test in zip(seen, tests, strict=True))
    lines = [
        f"left out of the calibration: {count} of {len(cases)} scans, {why}"
        for count, why in (
            (sum(seen), "of patients that a member was trained on"),
            (only_test, "of patients in the test set of a member"),
        )
        if count
    ]
    if not kept:
        raise ValueError(
            f"ckpt_path: no scan is left to calibrate with: of {len(cases)}, {sum(seen)} are of "
            f"patients that members were trained on, {only_test} of patients in their test sets; "
            "prepare further scans with --split validation_only, or train members of several seeds "
            "or folds that all have the same scans for validation"
        )
    return [{**case, "case": number} for number, case in enumerate(kept)], lines
