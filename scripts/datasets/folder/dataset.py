"""The data set of any CTs with labels: case folders or the layouts of Medical Decathlon, nnU-Net,
TotalSegmentator, or a CSV.

The layouts are described in docs/datasets.md.

Images are read by :mod:`scripts.volumes.readers`: DICOM series, MetaImage, NRRD, NIfTI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scripts.datasets.contract import DataSet, Kind, Labelled, Listing, Scan
from scripts.datasets.folder.case_files import has_names
from scripts.datasets.folder.case_table import Case
from scripts.datasets.folder.class_names import (
    ClassNames,
    assumed_names,
    check_modality,
    class_option,
    read_class_file,
    read_class_option,
    read_dataset_classes,
    read_segments_option,
)
from scripts.datasets.folder.layouts import (
    TITLES,
    Layout,
    images_without_labels,
    list_cases,
    masks_of,
    recognise,
    volume_files,
)
from scripts.datasets.folder.patients import by_headers, dicom_patients, read_patient_table
from scripts.datasets.shares import PARTITIONS
from scripts.running.options import check_choice
from scripts.storage.files import read_json

if TYPE_CHECKING:
    from scripts.datasets.folder.labels import NameRules
    from scripts.datasets.folder.named_labels import NamedLabels

OBJECTS = ("components", "values")
OVERLAPS = ("refused", "last")
WHITE = 255  # of masks that were saved as pictures
VALIDATION_PART = 10  # one of so many training patients, if the source names no validation


@dataclass(frozen=True)
class FolderDataSet(DataSet):
    """Prepare any CTs with label maps for training: slices, labels, partitions, one datalist.

    Args:
        source: case folders with image.* and label.*, or with a DICOM CT and its SEG, RTSTRUCT or
            .seg.nrrd; Medical Decathlon, nnU-Net (imagesTr, labelsTr, dataset.json),
            TotalSegmentator (CASE/ct.*, CASE/segmentations/CLASS.*), or a CSV
            image,label[,patient,split].
        kind: classes (a class for each value of the map) or instances (one class of lesions that
            are counted).
        objects: for instances: components (26-connected parts of the map are the lesions) or
            values (each value of the map is one lesion).
        class_names: names of the values, like 1:liver,2:spleen, if no dataset.json or
            classes.json has them; a single class without name is called lesion.
        segments: names of the segments of each class in DICOM SEG, RTSTRUCT, 3D Slicer's files and
            folders of masks, if they are not its own, like liver=Leber|SCT:10200004,tumour=GTV*; or
            a .json file.
        label_files: which file of a case has its labels, if it has several: a pattern of its path,
            name or title, like *reader1*.
        overlaps: what becomes of voxels in segments of two classes: refused, or last (the class
            with the higher value gets them).
        patients: CSV case,patient_id; without it, and without a column patient, DICOM cases with
            one PatientID are of one patient, and every other case counts as a patient.
    """

    kind: Kind = "classes"
    objects: str = "components"
    class_names: str | None = None
    segments: str | Mapping[str, Any] | None = None
    label_files: str | None = None
    overlaps: str = "refused"
    patients: Path | None = None
    layout: Layout | None = field(default=None, init=False)
    names: ClassNames = field(default_factory=assumed_names, init=False)

    name: ClassVar[str] = "folder"
    title: ClassVar[str] = "CT with label maps"
    label_kinds: ClassVar[tuple[str, ...]] = ("map",)
    splits: ClassVar[Mapping[str, str]] = {
        "given": "the partitions that the CSV's column split names (or that of TotalSegmentator's "
        "meta.csv), or imagesTs with labelsTs as test; without a validation among them, a tenth of "
        "the training patients validates"
    }
    window_hu: ClassVar[tuple[float, float]] = (-150.0, 250.0)

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: for an unknown kind or unknown objects, or numbered lesions of classes.
        """
        check_choice("kind", self.kind, ("classes", "instances"))
        check_choice("objects", self.objects, OBJECTS)
        check_choice("overlaps", self.overlaps, OVERLAPS)
        if self.objects == "values" and self.kind == "classes":
            raise ValueError("objects: must be components for --kind classes, got values")

    @property
    def metric(self) -> str:
        """Key metric: Dice for lesions, IoU for classes."""
        return "val_dice_per_slice" if self.kind == "instances" else "val_iou_pooled"

    def at(self, source: Path) -> DataSet:
        """Return the data set with the layout and the class names of a source.

        Raises:
            ValueError: for images that are not CT, class names from two sources, or instances
                with several classes.
            OSError: for a source that does not exist or has another layout; the message describes
                the expected layouts.
        """
        layout = recognise(source)
        names = self._names(layout)
        if self.kind == "instances" and len(names.names) != 2:
            raise ValueError(
                f"kind: instances counts the lesions of one class, {names.origin} names "
                f"{names.listing}; prepare with --kind classes, or a label map of one of them"
            )
        read_segments_option(self.segments, names.foreground)
        known = replace(self)
        object.__setattr__(known, "layout", layout)
        object.__setattr__(known, "names", names)
        return known

    def _names(self, layout: Layout) -> ClassNames:
        named = _named_by(layout)
        if self.class_names is not None:
            named.append(read_class_option(self.class_names))
        if layout.name == "masks" and not named:
            raise ValueError(
                "class_names: say which masks are classes, such as --class_names 1:liver,2:spleen; "
                f"{layout.folder} has {masks_of(layout)}"
            )
        if len(named) > 1:
            origins = " and ".join(names.origin for names in named)
            raise ValueError(f"class_names: {origins} name the classes; keep one of them")
        return named[0] if named else assumed_names()

    @classmethod
    def options_for(cls, source: Path, class_names: Sequence[str]) -> Mapping[str, Any]:
        """Return ``class_names`` for a source that does not name its classes by itself.

        Raises:
            ValueError, OSError: see :meth:`at`.
        """
        if _named_by(recognise(source)):
            return {}
        return {"class_names": class_option(class_names)}

    def classes(self) -> Mapping[int, str]:
        """Label value -> class name, background 0 included."""
        return self.names.names

    def find(self, source: Path) -> Listing:
        """List the cases of a source, and those that lack an image or a label map.

        Raises:
            ValueError: for an invalid table, or one that lacks the patient of a case.
            OSError: for a source that does not exist or has another layout; the message describes
                the expected layouts.
        """
        layout = self.layout or recognise(source)
        cases, problems = list_cases(layout, self.label_files)
        labels: dict[str, NamedLabels] = {}
        if named := [case for case in cases if has_names(case.label)]:
            # slow import, not for the help
            from scripts.datasets.folder.named_labels import named_labels

            labels, unusable = named_labels(named, self._rules())
            problems += unusable
        owners, notes = self._owners(cases, source)
        count = images_without_labels(layout)
        notes += [f"note: {count} images of imagesTs have no labels and are not used"] * bool(count)
        scans = [_scan(case, owners[case.id], labels.get(case.id)) for case in cases]
        first = (
            f"layout: {TITLES[layout.name]}",
            f"classes: {self.names.listing} ({self.names.origin})",
        )
        return Listing(scans, problems, (*first, *notes), {"layout": TITLES[layout.name]})

    def _owners(self, cases: Sequence[Case], source: Path) -> tuple[dict[str, str], list[str]]:
        """Return the patient of each case by its id; and notes."""
        owners = {case.id: case.patient or case.id for case in cases}
        named = any(case.patient for case in cases)
        if self.patients is not None:
            if named:
                raise ValueError(f"patients: {source} has a column patient; keep one of the two")
            owners = read_patient_table(Path(str(self.patients)), list(owners))
        return by_headers(owners, dicom_patients(cases), named=named or self.patients is not None)

    def read(self, scan: Scan) -> Labelled:
        """Read CT and label map of one case, which must have the same grid.

        Raises:
            ValueError, OSError: naming the file and the rule.
        """
        from scripts.datasets.folder.labels import read_label
        from scripts.datasets.instance_maps import (
            count_components,
            measure_objects,
            number_components,
        )

        case, labels = scan.details
        image_path, label_path = case.image, case.label
        missing = labels.missing if labels else {}
        read = read_label(image_path, label_path, case.series_uid, self._rules(), missing)
        volume, label, file_affine = read.volume, read.label, read.file_affine
        present = [int(value) for value in np.unique(label) if value]
        notes = read.notes
        if self.objects == "components" and present == [WHITE] and len(self.names.names) == 2:
            label, present = (label > 0).astype(np.uint8), [1]
            notes = (*notes, f"a mask of 0 and {WHITE}, read as 0 and 1")
        if self.objects == "components":
            self._check_values(present, label_path.name)
        if self.kind == "classes":
            notes = notes if present else (*notes, "no voxel of any class in the label map")
            return Labelled(volume, label, read.known, file_affine=file_affine, notes=notes)
        warnings: list[str] = []
        if self.objects == "components":
            label = number_components(label > 0, label_path.name)
        elif len(present) == 1 and (parts := count_components(label > 0)) > 1:
            warnings.append(
                f"{label_path.name}: one value in {parts} separate components, counted as one "
                "lesion; for a binary mask, use --objects components"
            )
        objects = tuple(measure_objects(label, volume.affine_lps))
        facts = {"lesions": len(objects)}
        return Labelled(
            volume,
            label,
            objects=objects,
            file_affine=file_affine,
            facts=facts,
            warnings=warnings,
            notes=notes,
        )

    def _rules(self) -> NameRules:
        """Return which segments of files with names become which values."""
        from scripts.datasets.folder.labels import NameRules

        return NameRules(
            {value: name for value, name in self.names.names.items() if value},
            read_segments_option(self.segments, self.names.foreground),
            lesions=self.kind == "instances",
            each=self.objects == "values",
            last_wins=self.overlaps == "last",
        )

    def _check_values(self, present: Sequence[int], name: str) -> None:
        """Refuse values without a name, which have no class to train on."""
        unnamed = [value for value in present if value not in self.names.names]
        if unnamed:
            listed = ", ".join(map(str, unnamed))
            raise ValueError(
                f"{name}: holds the values {listed}, which {self.names.origin} does not name "
                f"(named: {self.names.listing}); name them in dataset.json, classes.json or "
                "--class_names 1:liver,2:spleen"
            )

    def divide(
        self, scans: Sequence[Scan], split: str, *, test_fold: int, random: Random
    ) -> Mapping[str, str]:
        """Assign scans to the partitions that the source names.

        Raises:
            ValueError: for scans without partition, a patient in two partitions, or a partition
                that would be empty.
        """
        groups: dict[str, str] = {}
        for scan in scans:
            if scan.group is None:
                raise ValueError(f"split: the source names no partition for {scan.id}; use patient")
            if groups.setdefault(scan.patient_id, str(scan.group)) != scan.group:
                raise ValueError(f"split: patient {scan.patient_id} is in two partitions")
        training = sorted(patient for patient, group in groups.items() if group == "training")
        if "validation" not in groups.values() and len(training) > 1:
            count = max(1, round(len(training) / VALIDATION_PART))
            groups |= dict.fromkeys(random.sample(training, count), "validation")
        empty = [name for name in PARTITIONS if name not in groups.values()]
        if empty:
            raise ValueError(f"split: given leaves {', '.join(empty)} empty; use patient")
        return {scan.id: groups[scan.patient_id] for scan in scans}

    def depends_on(self, scan: Scan) -> Mapping[str, Any]:
        """Return the options that affect the label map; the paths do not."""
        own = {"kind": self.kind, "objects": self.objects, "names": self.names.listing}
        _, labels = scan.details
        missing = {"missing": labels.missing} if labels and labels.missing else {}
        return own | missing | self._segment_options()

    def _segment_options(self) -> dict[str, Any]:
        """Return the options on named segments that were given; of a file, what it holds."""
        overlaps = None if self.overlaps == OVERLAPS[0] else self.overlaps
        named = read_segments_option(self.segments, self.names.foreground)
        segments = {name: list(names) for name, names in named.items()} or None
        given = {"segments": segments, "overlaps": overlaps}
        return {name: value for name, value in given.items() if value is not None}

    def record(self) -> Mapping[str, Any]:
        """Return the options, the layout of the source and the origin of the class names."""
        record: dict[str, Any] = {"kind": self.kind, "classes_named_by": self.names.origin}
        if self.layout is not None:
            record["layout"] = TITLES[self.layout.name]
        if self.kind == "instances":
            record["objects"] = self.objects
        if self.patients is not None:
            record["patients"] = str(self.patients)
        if self.label_files is not None:
            record["label_files"] = self.label_files
        return record | self._segment_options()


def _named_by(layout: Layout) -> list[ClassNames]:
    """Return the class names of each file of a source that has some."""
    named: list[ClassNames] = []
    if layout.name in ("decathlon", "nnunet") and layout.table is not None:
        content = read_json(layout.table)
        check_modality(content, layout.table)
        named.append(read_dataset_classes(content, layout.table))
    if (layout.folder / "classes.json").is_file():
        named.append(read_class_file(layout.folder / "classes.json"))
    return named


def _scan(case: Case, patient: str, labels: NamedLabels | None) -> Scan:
    masks = labels.masks if labels else None
    files = volume_files(case.label) if masks is None else masks
    return Scan(
        case.id,
        patient,
        (*volume_files(case.image), *files),
        image_file=None if case.image.is_dir() else case.image,
        group=case.group,
        details=(case, labels),
    )
