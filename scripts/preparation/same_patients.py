"""Scans that are of one patient although their patients have different names.

No patient may be in two partitions. A scan that a source holds twice, under two names or in two
formats, and a patient whose name is spelt in two ways would be.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from scripts.datasets.problems import Problem
from scripts.preparation.samples import PreparedScan


def join_patients(scans: Sequence[PreparedScan]) -> tuple[list[PreparedScan], list[Problem]]:
    """Give scans of one patient one patient id: the first, in the order of the scans.

    Two scans are of one patient if their voxels are equal, or if the ids differ only in case, white
    space or Unicode form (composed or decomposed accents).

    Returns:
        The scans; and a problem for each scan whose patient id was replaced.
    """
    owner: dict[str, str] = {}  # patient id -> id that counts
    first: dict[str, PreparedScan] = {}  # evidence -> the first scan with it
    warnings: list[Problem] = []
    for scan in scans:
        own = scan.scan.patient_id
        for evidence in (_plain(own), str(scan.record["image_hash"])):
            earlier = first.setdefault(evidence, scan).scan
            one, other = _last(owner, earlier.patient_id), _last(owner, own)
            if one == other:
                continue
            owner[other] = one
            same = "the same image as" if evidence != _plain(own) else "a patient spelt as that of"
            reason = (
                f"has {same} {earlier.id}; their patients, {own} and {earlier.patient_id}, count "
                "as one"
            )
            warnings.append(Problem(scan.scan.id, "", reason, left_out=False))
    joined = [
        replace(one, scan=replace(one.scan, patient_id=_last(owner, one.scan.patient_id)))
        for one in scans
    ]
    return joined, warnings


def _plain(patient: str) -> str:
    """Return a patient id without differences that nobody means.

    Example:
        >>> _plain("Mu\u0308ller  A") == _plain("m\xfcller a")
        True
    """
    return " ".join(unicodedata.normalize("NFC", patient).casefold().split())


def _last(owner: dict[str, str], patient: str) -> str:
    while patient in owner:
        patient = owner[patient]
    return patient
