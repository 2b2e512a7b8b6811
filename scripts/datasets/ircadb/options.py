"""What a preparation is asked for: choices in groups, checked before any patient is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from scripts.storage.options import check_choice, check_whole

SLICE_KINDS = ("all", "organ")
SPLIT_KINDS = ("patient", "fold", "slice_random", "slice_block")


@dataclass(frozen=True)
class PatientOptions:
    """What is stored of each patient.

    Args:
        tumour: whether liver tumours get their own class, 4.
        which: ``all`` slices, or those that show an ``organ`` (liver or kidney; bone is in all).
        every: of those, the first and each n-th after it.
        neighbours: slices kept on either side of each, for 2.5D input.
        volumes: whether to write whole volumes too.
    """

    tumour: bool = False
    which: str = "all"
    every: int = 1
    neighbours: int = 1
    volumes: bool = True

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: for an unknown word or a number out of bounds.
        """
        check_choice("slices", self.which, SLICE_KINDS)
        check_whole("every", self.every, 1)
        check_whole("neighbours", self.neighbours, 0)

    def record(self) -> dict[str, Any]:
        """Return the entries of the provenance."""
        record = asdict(self)
        record["slices"] = record.pop("which")
        return record


@dataclass(frozen=True)
class SplitOptions:
    """Who trains, validates and tests: see :mod:`scripts.datasets.ircadb.splits`.

    Args:
        kind: ``patient`` (8:1:1), ``fold``, ``slice_random`` or ``slice_block``.
        seed: another seed, another draw.
        folds: how many, for ``fold``.
        test_fold: which of them tests, from 0.
        block: slices in a block, for ``slice_block``.
    """

    kind: str = "patient"
    seed: int = 0
    folds: int = 5
    test_fold: int = 0
    block: int = 10

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: for an unknown kind or a number out of bounds.
        """
        check_choice("split", self.kind, SPLIT_KINDS)
        check_whole("seed", self.seed, 0)
        check_whole("folds", self.folds, 3)
        check_whole("test_fold", self.test_fold, 0, self.folds - 1)
        check_whole("block", self.block, 1)

    def record(self) -> dict[str, Any]:
        """Only what this kind of split reads."""
        record: dict[str, Any] = {"kind": self.kind, "seed": self.seed}
        if self.kind == "fold":
            record |= {"folds": self.folds, "test_fold": self.test_fold}
        if self.kind == "slice_block":
            record["block"] = self.block
        return record


@dataclass(frozen=True)
class WindowOptions:
    """The window for the mean of the training images, as the network's input has it.

    Args:
        low_hu: mapped to 0, as everything below.
        high_hu: mapped to 1, as everything above.
    """

    low_hu: float = -150.0
    high_hu: float = 250.0

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: for a window that is empty or reversed.
        """
        if not self.low_hu < self.high_hu:
            raise ValueError(
                f"window_hu: lower bound must lie below upper, got {self.low_hu}, {self.high_hu}"
            )
