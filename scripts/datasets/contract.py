"""What a data set must say of itself: the scans of a folder, one of them read, how they divide.

A data set is one module behind this contract; preparation, evaluation, studies and prediction know
no data set by name. World coordinates are LPS millimetres, arrays (Z, Y, X) in LPS index order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.problems import Problem
from scripts.volumes.volume import Volume

Kind = Literal["instances", "classes"]


@dataclass(frozen=True)
class Scan:
    """One CT that a source holds; only listed, not read.

    Args:
        id: names the scan in every file that is written; unique, and a valid folder name.
        patient_id: no patient may be in two partitions.
        files: everything that :meth:`DataSet.read` reads; a kept result is stale when one changes.
        image_file: a volume file that training can read as it is; None makes preparation write one.
        group: an official subset or fold, or the partition that the source itself names.
        details: what the data set's ``read`` needs besides; must be picklable.
    """

    id: str
    patient_id: str
    files: tuple[Path, ...]
    image_file: Path | None = None
    group: int | str | None = None
    details: Any = None


@dataclass(frozen=True)
class Labelled:
    """One CT with its reference annotation, read once.

    Args:
        volume: the CT, in LPS index order.
        label: uint8 (Z, Y, X) on the same grid: class numbers, or numbers of the instances.
        known: classes that are annotated in this scan; None when all are.
        objects: for instances: ``id``, ``centre_lps_mm``, ``diameter_mm`` of each.
        lung: bool (Z, Y, X); None where the data set has no lung field.
        avoid: (x, y, z, diameter) in LPS mm of findings that slices without an object keep away
            from although they are not labelled.
        notes: what had to be assumed, or was not read, for the report.
        facts: further entries for the report, by name.
    """

    volume: Volume
    label: NDArray[np.uint8]
    known: tuple[int, ...] | None = None
    objects: tuple[Mapping[str, Any], ...] = ()
    lung: NDArray[np.bool_] | None = None
    avoid: tuple[tuple[float, float, float, float], ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class DataSet(Protocol):
    """A data set; implementations are frozen dataclasses whose fields are their own options.

    Attributes (of the class, bar ``kind`` and what depends on it):
        name: of ``prepare NAME``.
        title: in words, for reports.
        kind: ``instances`` (nodules, lesions, counted one by one) or ``classes`` (organs).
        label_kinds: the kinds of reference annotation that it can be prepared with.
        splits: name -> what it does, of the splits that only this data set has.
        leaking_splits: name -> why it does not measure generalisation.
        untested_splits: names of splits without test partition.
        window_hu: the usual display window, lower and upper bound in HU.
        metric: key metric of its evaluation.
        phantom: name of the ``phantom`` command that makes a synthetic cohort; None without one.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    label_kinds: ClassVar[tuple[str, ...]]
    splits: ClassVar[Mapping[str, str]]
    leaking_splits: ClassVar[Mapping[str, str]]
    untested_splits: ClassVar[tuple[str, ...]]
    window_hu: ClassVar[tuple[float, float]]
    phantom: ClassVar[str | None]

    @property
    def kind(self) -> Kind:
        """See above; one data set may have an option for it."""

    @property
    def metric(self) -> str:
        """See above."""

    def at(self, source: Path) -> DataSet:
        """Return the data set with what a source says of itself, such as the names of its classes.

        Called once, before everything else; returns itself where the source says nothing.

        Raises:
            ValueError, OSError: for a source that contradicts itself or the options.
        """

    def classes(self) -> Mapping[int, str]:
        """Label value -> class name, background 0 included; for instances, {1: its one class}."""

    def find(self, source: Path) -> tuple[list[Scan], list[Problem]]:
        """List the scans of a folder, and what could not be used.

        Raises:
            OSError: when the folder is not there or laid out otherwise, saying what is wanted.
        """

    def read(self, scan: Scan) -> Labelled:
        """Read one scan.

        Raises:
            ValueError, OSError: with the file and the reason; the others go on.
        """

    def divide(self, scans: Sequence[Scan], split: str, random: Random) -> Mapping[str, str] | None:
        """Scan id -> partition, for a split that only this data set has; None for the shared ones.

        Raises:
            ValueError: when a partition would be empty.
        """

    def record(self) -> Mapping[str, Any]:
        """Return the options that were used, for the provenance of the datalist."""
