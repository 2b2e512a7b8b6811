"""The contract of a data set: how its scans are listed, read and divided.

A data set is one class behind this contract; preparation, evaluation, studies and prediction know
no data set by name. World coordinates are LPS millimetres, arrays (Z, Y, X) in LPS index order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scripts.datasets.problems import Problem
    from scripts.volumes.volume import Volume

Kind = Literal["instances", "classes"]
Point = tuple[float, float, float, float]


@dataclass(frozen=True)
class Scan:
    """One CT that a source holds; only listed, not read.

    Args:
        id: names the scan in every file that is written; unique, and a valid folder name.
        patient_id: no patient may be in two partitions.
        files: everything that :meth:`DataSet.read` reads; a kept result is stale when one changes.
        image_file: a volume file that training can read as it is; None makes preparation write one.
        group: an official subset or fold, or the partition that the source itself names.
        object_slices: on how many slices each object probably appears, where that is known before
            reading; None where it is not. Decides only how many slices without object are stored.
        details: what the data set's ``read`` needs besides; must be picklable.
    """

    id: str
    patient_id: str
    files: tuple[Path, ...]
    image_file: Path | None = None
    group: int | str | None = None
    object_slices: tuple[float, ...] | None = None
    details: Any = None


@dataclass(frozen=True)
class Listing:
    """The scans of a source, in a fixed order, and what is to be reported of the source.

    Args:
        scans: a scan that one of the problems leaves out is listed too, but not prepared.
        problems: what cannot be used.
        notes: remarks for the screen, one line each.
        facts: further entries for the report, by name.
        provenance: further entries for the provenance of the datalist.
    """

    scans: Sequence[Scan]
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Labelled:
    """One CT with its reference annotation, read once.

    Args:
        volume: the CT, in LPS index order (:meth:`Volume.in_lps`).
        label: uint8 (Z, Y, X) on the same grid: class numbers, or numbers of the objects.
        known: classes that are annotated in this scan, background included; None when all are.
        objects: for instances: ``id``, ``centre_lps_mm``, ``diameter_mm`` of each, for every
            number in the label; further keys are kept in the scan's record.
        by_centre: an object's central slice is the one nearest to its centre (drawn balls), instead
            of the one where its area is largest.
        lung: bool (Z, Y, X); None where the data set has no lung field.
        avoid: (x, y, z, diameter) in LPS mm of findings that slices without an object keep away
            from although they are not labelled.
        file_affine: (4, 4) of ``Scan.image_file`` as it is stored, index to LPS mm: the label of
            the whole volume is written on that grid. None where it is that of ``volume``.
        doubts: what had to be assumed or could not be read although the scan is used; reported as
            problems.
        notes: remarks for the report.
        facts: further entries for the report, by name; plain JSON values.
    """

    volume: Volume
    label: NDArray[np.uint8]
    known: tuple[int, ...] | None = None
    objects: Sequence[Mapping[str, Any]] = ()
    by_centre: bool = False
    lung: NDArray[np.bool_] | None = None
    avoid: Sequence[Point] = ()
    file_affine: NDArray[np.float64] | None = None
    doubts: Sequence[str] = ()
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: when label or lung is not on the grid of the volume, or the label not uint8.
        """
        if self.label.dtype != np.uint8:
            raise ValueError(f"label: must be uint8, got {self.label.dtype}")
        for what, array in (("label", self.label), ("lung", self.lung)):
            if array is not None and array.shape != self.volume.hu.shape:
                raise ValueError(
                    f"{what}: must have the shape of the CT, {self.volume.hu.shape}, "
                    f"got {array.shape}"
                )


class DataSet(ABC):
    """A data set: a frozen dataclass whose fields are the options that it adds to ``prepare``.

    Its docstring is the help of ``prepare NAME``: first what is prepared, then under ``Args:`` its
    options and ``source``, the layout of the folder. Wrong values are refused in
    ``__post_init__``. Options may arrive as a command line gives them (a path as text or number).
    Modules are imported for ``--help`` too, so that what is slow to import (torch, MONAI) belongs
    into the functions that need it.

    Class attributes:
        name: of ``prepare NAME``.
        title: in words, for reports.
        kind: ``instances`` (nodules, lesions, counted one by one) or ``classes`` (organs). In a
            subclass without annotation (``kind = "classes"``); or an option with a default.
        label_kinds: the kinds of reference annotation that it can be prepared with; where there
            are several, an option ``label`` chooses one.
        label_folders: kind of annotation -> the option that names the folder it is read from, of
            those that are not in the source.
        splits: name -> what it does, of the splits that only this data set has.
        leaking_splits: name -> why it does not measure generalisation, of these.
        untested_splits: names of those of these without test partition.
        slice_classes: for classes: a slice with one of these is kept by ``--slices organ``; where
            empty, any class but the background.
        window_hu: the usual display window, lower and upper bound in HU.
        metric: key metric of its evaluation.
        phantom: name of the ``phantom`` command that makes a synthetic cohort; None without one.
        auditable: whether :meth:`audit` is there.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    label_kinds: ClassVar[tuple[str, ...]]
    label_folders: ClassVar[Mapping[str, str]] = {}
    splits: ClassVar[Mapping[str, str]] = {}
    leaking_splits: ClassVar[Mapping[str, str]] = {}
    untested_splits: ClassVar[tuple[str, ...]] = ()
    slice_classes: ClassVar[tuple[str, ...]] = ()
    window_hu: ClassVar[tuple[float, float]]
    phantom: ClassVar[str | None] = None
    auditable: ClassVar[bool] = False

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """See above."""

    @property
    @abstractmethod
    def metric(self) -> str:
        """See above."""

    @property
    def label_kind(self) -> str:
        """Kind of reference annotation that the options ask for: one of ``label_kinds``."""
        return self.label_kinds[0]

    def at(self, source: Path) -> DataSet:
        """Return the data set with what a source says of itself, such as the names of its classes.

        Called before everything else, and perhaps again on its own result; returns itself where the
        source says nothing.

        Raises:
            ValueError, OSError: for a source that contradicts itself or the options.
        """
        return self

    @abstractmethod
    def classes(self) -> Mapping[int, str]:
        """Label value -> class name, 0 (background) included; for instances, 1 is any object."""

    @abstractmethod
    def find(self, source: Path) -> Listing:
        """List the scans of a folder, and what cannot be used.

        Raises:
            ValueError: when an option does not suit the source.
            OSError: when the folder is not there or laid out otherwise, saying what is wanted.
        """

    @abstractmethod
    def read(self, scan: Scan) -> Labelled:
        """Read one scan.

        Raises:
            ValueError, OSError: with the file and the reason; the other scans are still prepared.
        """

    def divide(
        self, scans: Sequence[Scan], split: str, *, test_fold: int, random: Random
    ) -> Mapping[str, str]:
        """Scan id -> partition, for one of :attr:`splits`.

        Raises:
            ValueError: when a partition would be empty.
        """
        raise NotImplementedError(split)

    def depends_on(self, scan: Scan) -> Mapping[str, Any]:
        """Return everything besides ``scan.files`` that the result of ``read`` depends on, as JSON.

        A kept scan is prepared again when it has changed. Overridden where options or details
        hold something that does not change the result (a path, a name).
        """
        return {**self.record(), "details": repr(scan.details)}

    def record(self) -> Mapping[str, Any]:
        """Return the options that were used, for the provenance of the datalist."""
        return {
            option.name: str(value) if isinstance(value, Path) else value
            for option in fields(self)  # type: ignore[arg-type]
            if option.init
            for value in [getattr(self, option.name)]
        }

    def audit(self, source: Path, output: Path | None, *, jobs: int) -> list[Problem]:
        """Print what the source holds, without preparing it; write it where an output is named."""
        raise NotImplementedError(self.name)
