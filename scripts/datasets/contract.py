"""The interface of a data set: listing, reading and dividing its scans.

A data set is one class that implements :class:`DataSet`; preparation, evaluation, studies and
prediction use only this interface. World coordinates are LPS millimetres, arrays (Z, Y, X) in LPS
index order.
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
    """One CT of a source, listed but not yet read.

    Args:
        id: identifies the scan in every file that is written; unique, and a valid folder name.
        patient_id: the patient; all scans of a patient go to the same partition.
        files: all files that :meth:`DataSet.read` reads; when one changes, the scan is prepared
            again.
        image_file: a volume file that training can read directly; with None, preparation writes
            one.
        group: an official subset or fold, or the partition that the source assigns.
        object_slices: estimated number of slices of each object; None if unknown before reading.
            Only the number of stored slices without an object depends on it.
        details: further input of the data set's ``read``; must be picklable.
        scan_uid: for a part of a scan: SeriesInstanceUID of the whole scan, by which a network
            trained on the part recognises the scan; None if ``id`` identifies the scan.
    """

    id: str
    patient_id: str
    files: tuple[Path, ...]
    image_file: Path | None = None
    group: int | str | None = None
    object_slices: tuple[float, ...] | None = None
    details: Any = None
    scan_uid: str | None = None


@dataclass(frozen=True)
class Listing:
    """The scans of a source, in a fixed order, and what to report about the source.

    Args:
        scans: all scans, including those that a problem excludes from preparation.
        problems: scans, files or rows that cannot be used.
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
    """One CT with its reference annotation.

    Args:
        volume: the CT, in LPS index order (:meth:`Volume.in_lps`).
        label: uint8 (Z, Y, X) on the same grid: class numbers, or object numbers.
        known: classes that are annotated in this scan, background included; None for all.
        objects: for instances: ``id``, ``centre_lps_mm`` and ``diameter_mm`` of every number in
            the label; further keys are kept in the scan's record.
        by_centre: whether an object's central slice is the one nearest to its centre (for drawn
            balls) instead of the one with its largest area.
        lung: lung field, bool (Z, Y, X); None if the data set has none.
        avoid: (x, y, z, diameter) in LPS mm of unlabelled findings; slices without an object are
            not taken near them.
        excluded: (x, y, z, diameter) in LPS mm of findings that an evaluation counts neither as
            hit nor as false positive.
        file_affine: (4, 4), index to LPS mm, of ``Scan.image_file`` as stored: the label of the
            whole volume is written on that grid. None if it equals that of ``volume``.
        warnings: assumptions made, and parts that could not be read although the scan is used;
            reported as problems.
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
    excluded: Sequence[Point] = ()
    file_affine: NDArray[np.float64] | None = None
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes and data type.

        Raises:
            ValueError: for a label or lung field of another shape than the CT, or a label that is
                not uint8.
        """
        if self.label.dtype != np.uint8:
            raise ValueError(f"label: must be uint8, got {self.label.dtype}")
        for name, array in (("label", self.label), ("lung", self.lung)):
            if array is not None and array.shape != self.volume.hu.shape:
                raise ValueError(
                    f"{name}: must have the shape of the CT, {self.volume.hu.shape}, "
                    f"got {array.shape}"
                )


class DataSet(ABC):
    """A data set: a frozen dataclass whose fields are its options of ``prepare``.

    Its docstring is the help of ``prepare NAME``: a description, then under ``Args:`` its options
    and ``source``, the layout of the folder. ``__post_init__`` refuses invalid values. Options may
    have the types of a command line (a path as text or number). ``--help`` imports the module, so
    slow imports (torch, MONAI) belong in the functions that need them.

    Class attributes:
        name: NAME of ``prepare NAME``.
        title: name in reports.
        kind: ``instances`` (nodules or lesions, counted one by one) or ``classes`` (organs). Either
            a class attribute without type annotation (``kind = "classes"``), or an option with a
            default.
        label_kinds: the available kinds of reference annotation; if there are several, the option
            ``label`` chooses one.
        label_folders: kind of annotation -> option with the folder that it is read from, for kinds
            whose files are not in the source.
        splits: name -> description, for splits that only this data set has.
        leaking_splits: name -> why it does not measure generalisation, for a subset of these.
        untested_splits: names of those splits that have no test partition.
        slice_classes: for classes: ``--slices organ`` keeps slices with one of these; if empty,
            slices with any class but the background.
        window_hu: default display window, lower and upper bound in HU.
        shows_air: whether every scan shows lung or air; one without cannot be in HU.
        metric: key metric of the evaluation.
        phantom: name of the ``phantom`` command that makes a synthetic cohort; None if there is
            no such command.
        auditable: whether :meth:`audit` is implemented.
        croppable: whether :meth:`crop` is implemented.
        cut_out: whether its cases are parts of scans around lesions: what is found in them says
            nothing about false positives in whole scans.
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
    shows_air: ClassVar[bool] = False
    phantom: ClassVar[str | None] = None
    auditable: ClassVar[bool] = False
    croppable: ClassVar[bool] = False
    cut_out: ClassVar[bool] = False

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """``instances`` or ``classes``; see the class attributes."""

    @property
    @abstractmethod
    def metric(self) -> str:
        """Key metric of the evaluation."""

    @property
    def label_kind(self) -> str:
        """Chosen kind of reference annotation: one of ``label_kinds``."""
        return self.label_kinds[0]

    @classmethod
    def options_for(cls, source: Path, class_names: Sequence[str]) -> Mapping[str, Any]:
        """Return options that a source needs to be prepared for a trained network.

        Args:
            source: folder of the scans.
            class_names: that the network learnt, background first.

        Raises:
            OSError: for a source that does not exist or has another layout.
        """
        return {}

    def at(self, source: Path) -> DataSet:
        """Return the data set with the properties of a source, such as its class names.

        Called first, and possibly again on its own result. Returns itself if the source has no such
        properties.

        Raises:
            ValueError, OSError: for a source that contradicts itself or the options.
        """
        return self

    @abstractmethod
    def classes(self) -> Mapping[int, str]:
        """Label value -> class name, 0 (background) included; for instances, 1 is any object."""

    @abstractmethod
    def find(self, source: Path) -> Listing:
        """List the scans of a folder, and the problems found.

        Raises:
            ValueError: for an option that does not fit the source.
            OSError: for a folder that does not exist or has another layout; the message describes
                the expected layout.
        """

    @abstractmethod
    def read(self, scan: Scan) -> Labelled:
        """Read one scan.

        Raises:
            ValueError, OSError: naming the file and the reason; the other scans are still prepared.
        """

    def divide(
        self, scans: Sequence[Scan], split: str, *, test_fold: int, random: Random
    ) -> Mapping[str, str]:
        """Assign scans to partitions, for one of :attr:`splits`.

        Args:
            scans: the scans to divide.
            split: name of the split.
            test_fold: the fold that is tested on, for splits with folds.
            random: seeded source of random draws.

        Returns:
            Scan id -> partition.

        Raises:
            ValueError: when a partition would be empty.
        """
        raise NotImplementedError(split)

    def depends_on(self, scan: Scan) -> Mapping[str, Any]:
        """Return everything except ``scan.files`` that the result of ``read`` depends on, as JSON.

        When it changes, the scan is prepared again. To be overridden if options or details contain
        values that do not affect the result (a path, a name).
        """
        return {**self.record(), "details": repr(scan.details)}

    def record(self) -> Mapping[str, Any]:
        """Return the options, for the provenance of the datalist."""
        return {
            option.name: str(value) if isinstance(value, Path) else value
            for option in fields(self)  # type: ignore[arg-type]
            if option.init
            for value in [getattr(self, option.name)]
        }

    def audit(self, source: Path, output: Path | None, *, jobs: int) -> list[Problem]:
        """Print the contents of the source without preparing it, and return the problems found.

        Args:
            source: the folder.
            output: folder for the same table as a file; None for none.
            jobs: scans read in parallel.

        Raises:
            NotImplementedError: for a data set without an audit, whose command has no such option.
        """
        raise NotImplementedError(self.name)

    def crop(self, source: Path, output: Path, *, jobs: int | None) -> list[Problem]:
        """Write crops around single objects instead of preparing, and return the problems found.

        Args:
            source: the folder.
            output: folder to write.
            jobs: scans read in parallel; None for one for each core.

        Raises:
            NotImplementedError: for a data set without crops, whose command has no such option.
        """
        raise NotImplementedError(self.name)
