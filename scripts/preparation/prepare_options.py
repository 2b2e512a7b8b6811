"""Options shared by all data sets, in groups, and their checks before any scan is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from scripts.datasets.contract import DataSet, Kind
from scripts.datasets.shares import PATIENT_SHARES
from scripts.preparation.splits import FOLD_SPLITS, splits_of
from scripts.running.options import check_choice, check_whole

SLICE_KINDS: Mapping[Kind, tuple[str, ...]] = {
    "instances": ("central", "all"),
    "classes": ("all", "organ"),
}


@dataclass(frozen=True)
class SliceOptions:
    """Which slices become samples.

    Args:
        which: for instances ``central`` (one slice per object, as in the paper) or ``all`` slices
            of each object; for classes ``all``, or those that show an ``organ``.
        neighbours: slices stored on either side of each, for 2.5D input.
        every: for classes: use the first of these slices and every n-th after it.
        empty_share: for instances: share of slices without an object among the samples, from 0 to
            below 1.
        seed: seed of the draw of slices without an object.
    """

    which: str
    neighbours: int = 1
    every: int = 1
    empty_share: float = 0.1
    seed: int = 0

    def check(self, kind: Kind) -> None:
        """Refuse values that are invalid for a kind of data set.

        Raises:
            ValueError: for an unknown choice or a number out of range.
        """
        check_choice("slices", self.which, SLICE_KINDS[kind])
        check_whole("neighbours", self.neighbours, 0)
        check_whole("every", self.every, 1)
        check_whole("seed", self.seed, 0)
        share = self.empty_share
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ValueError(f"empty_share: must be a number from 0 to below 1, got {share!r}")

    def stored(self, kind: Kind) -> dict[str, Any]:
        """Return the values that the stored slices of a scan depend on."""
        drawn = {"seed": self.seed} if kind == "instances" else {"every": self.every}
        return {"slices": self.which, "neighbours": self.neighbours, **drawn}

    def record(self, kind: Kind) -> dict[str, Any]:
        """Return the entries of the provenance."""
        share = {"empty_share": self.empty_share}
        drawn = share if kind == "instances" else {"every": self.every}
        return {"slices": self.which, "neighbours": self.neighbours, **drawn}


@dataclass(frozen=True)
class SplitOptions:
    """How the cohort is divided: see :mod:`scripts.preparation.splits`.

    Args:
        kind: one of the data set's splits.
        seed: seed of the random draw.
        shares: for ``patient``: relative sizes of training, validation and test.
        folds: for ``fold`` and ``nodule_fold``: number of folds.
        test_fold: for these, or the data set's own folds: the test fold, from 0.
        block: for ``slice_block`` of classes: slices per block.
    """

    kind: str = "patient"
    seed: int = 0
    shares: tuple[int, int, int] = PATIENT_SHARES
    folds: int = 5
    test_fold: int = 0
    block: int = 10

    def check(self, data_set: DataSet) -> None:
        """Refuse values that are invalid for a data set.

        Raises:
            ValueError: for an unknown split, a number out of range, or an option that this split
                does not use.
        """
        check_choice("split", self.kind, splits_of(data_set))
        check_whole("seed", self.seed, 0)
        check_whole("folds", self.folds, 3)
        last = self.folds - 1 if self.kind in FOLD_SPLITS else None
        check_whole("test_fold", self.test_fold, 0, last)
        check_whole("block", self.block, 1)
        unused = self.unused(data_set)
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name in unused and value != option.default:
                shown = ":".join(map(str, value)) if isinstance(value, tuple) else value
                raise ValueError(
                    f"{option.name}: is not used by --split {self.kind}, got {shown}; give another "
                    "--split, or leave it out"
                )

    def unused(self, data_set: DataSet) -> set[str]:
        """Return the names of the options that this kind of split does not use."""
        return {option.name for option in fields(self)} - set(self.record(data_set))

    def record(self, data_set: DataSet) -> dict[str, Any]:
        """Return the values that this kind of split uses, for the provenance."""
        record: dict[str, Any] = {"kind": self.kind, "seed": self.seed}
        if self.kind == "patient":
            record["shares"] = list(self.shares)
        if self.kind in FOLD_SPLITS:
            record["folds"] = self.folds
        if self.kind in (*FOLD_SPLITS, *data_set.splits):
            record["test_fold"] = self.test_fold
        if self.kind == "slice_block" and data_set.kind == "classes":
            record["block"] = self.block
        return record


def check_window(window_hu: object) -> tuple[float, float]:
    """Return a window in HU as two floats.

    Raises:
        ValueError: for anything but two numbers, the lower one first.

    Example:
        >>> check_window([-150, 250])
        (-150.0, 250.0)
    """
    pair = window_hu if isinstance(window_hu, (tuple, list)) else ()
    if len(pair) != 2 or not all(isinstance(bound, (int, float)) for bound in pair):
        raise ValueError(f"window_hu: must be two numbers like [-150,250], got {window_hu!r}")
    low, high = map(float, pair)
    if not low < high:
        raise ValueError(f"window_hu: lower bound must lie below upper, got {low}, {high}")
    return low, high
