"""What a preparation is asked for: choices in groups, checked before any scan is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.datasets.shares import PATIENT_SHARES
from scripts.preparation.splits import FOLDS, KINDS
from scripts.storage.options import check_choice, check_whole

LABEL_KINDS = ("ball", "readers", "masks")
SLICE_KINDS = ("central", "all")
READERS = 4  # radiologists who read each LIDC scan


def check_folder(name: str, value: Path | None, kind: str) -> None:
    """Refuse a label kind without the folder that it needs."""
    if value is None:
        raise ValueError(f"{name}: must name a folder for --label {kind}, got nothing")
    if not value.is_dir():
        raise FileNotFoundError(f"{name}: no folder {value}")


@dataclass(frozen=True)
class LabelOptions:
    """How the truth is made.

    Args:
        kind: ``ball`` (centre and diameter), ``readers`` (LIDC outlines) or ``masks`` (files).
        readers_xml: folder of LIDC XML files, searched with its subfolders.
        min_readers: how many of the four readers must hold a voxel.
        masks: folder of ``<uid>.nii.gz`` instance masks.
    """

    kind: str = "ball"
    readers_xml: Path | None = None
    min_readers: int = 2
    masks: Path | None = None

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: for an unknown kind, a number of readers that cannot be, no folder.
            FileNotFoundError: when the folder is not there.
        """
        check_choice("label", self.kind, LABEL_KINDS)
        check_whole("min_readers", self.min_readers, 1, READERS)
        if self.kind == "readers":
            check_folder("readers_xml", self.readers_xml, self.kind)
        if self.kind == "masks":
            check_folder("masks", self.masks, self.kind)

    def record(self) -> dict[str, Any]:
        """Only what this kind of label reads."""
        used: dict[str, Any] = {"label": self.kind}
        if self.kind == "readers":
            used |= {"readers_xml": str(self.readers_xml), "min_readers": self.min_readers}
        if self.kind == "masks":
            used["masks"] = str(self.masks)
        return used


@dataclass(frozen=True)
class SliceOptions:
    """Which slices become samples.

    Args:
        which: ``central`` (one a nodule, as in the paper) or ``all`` slices of each nodule.
        neighbours: slices kept on either side of each, for 2.5D input.
        empty_share: share of slices without a nodule among the samples, 0 to below 1.
        seed: of their draw.
    """

    which: str = "central"
    neighbours: int = 1
    empty_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: for an unknown word or a number out of bounds.
        """
        check_choice("slices", self.which, SLICE_KINDS)
        check_whole("neighbours", self.neighbours, 0)
        check_whole("seed", self.seed, 0)
        share = self.empty_share
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ValueError(f"empty_share: must be a number from 0 to below 1, got {share!r}")

    def record(self) -> dict[str, Any]:
        """Return the entries of the provenance."""
        return {
            "slices": self.which,
            "neighbours": self.neighbours,
            "empty_share": self.empty_share,
        }


@dataclass(frozen=True)
class SplitOptions:
    """Who trains, validates and tests: see :mod:`scripts.preparation.splits`."""

    kind: str = "patient"
    test_fold: int = 0
    seed: int = 0
    shares: tuple[int, int, int] = PATIENT_SHARES

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: for an unknown kind, fold or seed.
        """
        check_choice("split", self.kind, KINDS)
        check_whole("test_fold", self.test_fold, 0, FOLDS - 1)
        check_whole("seed", self.seed, 0)

    def record(self) -> dict[str, Any]:
        """Only what this kind of split reads."""
        used = asdict(self) | {"shares": list(self.shares)}
        del used["seed" if self.kind == "subset" else "test_fold"]
        if self.kind != "patient":
            del used["shares"]
        return used
