"""One patient turned into arrays of slices: what a worker process does, and can be repeated.

A finished patient is a folder whose ``patient.json`` was written last. It is taken as it is when
the request in it equals the one that comes, and made anew otherwise.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.datasets.ircadb import structures
from scripts.datasets.ircadb.options import PatientOptions
from scripts.datasets.ircadb.patients import Patient, PatientFiles, list_files
from scripts.datasets.ircadb.problems import Problem
from scripts.datasets.ircadb.series import CT, read_ct, read_mask
from scripts.datasets.ircadb.structures import Structures, class_names, paint, recognise
from scripts.storage.archive import ArchiveReader
from scripts.storage.files import atomic_path, clear_leftovers, plain, write_json
from scripts.storage.output_folder import writing_into
from scripts.transforms.neighbours import stored_slices
from scripts.volumes.geometry import affine_of, set_affine, spacing_of, to_lps
from scripts.volumes.nifti import nifti_of

FORMAT = 1  # of a prepared patient's folder; another number makes every patient anew
ORGANS = ("liver", "kidney")  # what makes a slice one of an organ; bone is in nearly all


@dataclass(frozen=True)
class PatientTask:
    """One patient and what is wanted of it.

    Args:
        patient: where it lies.
        output: the prepared folder.
        options: what is stored.
    """

    patient: Patient
    output: Path
    options: PatientOptions

    @property
    def folder(self) -> Path:
        """Where the patient's arrays go."""
        return self.output / "scans" / self.patient.name

    def volume(self, kind: str) -> Path:
        """Where a whole volume (``image`` or ``label``) goes."""
        return self.output / "volumes" / f"{self.patient.name}_{kind}.nii.gz"

    def request(self) -> dict[str, Any]:
        """Everything that the result hangs on, with sizes and times of the files read."""
        tables = (structures.PARTS, structures.REQUIRED, structures.PAINTED, structures.CLASSES)
        copies = (*self.patient.ct, *self.patient.masks)
        paths = {file.location.path for copy in copies for file in copy.files}
        states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
        wanted: dict[str, Any] = plain(
            {
                "format": FORMAT,
                "options": asdict(self.options),
                "structures": _digest(tables),
                "files": _digest(sorted(states)),
            }
        )
        return wanted


def _digest(content: object) -> str:
    text = json.dumps(content, default=sorted)  # the tables' sets have no order of their own
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class PatientOutcome:
    """A patient's record, or the problem that left it out."""

    patient_id: str
    record: dict[str, Any] | None = None
    problem: Problem | None = None
    reused: bool = False


def find_prepared(task: PatientTask) -> PatientOutcome | None:
    """Find a patient that is there as wanted; None when it must be made."""
    try:
        record = json.loads((task.folder / "patient.json").read_text(encoding="utf-8"))
        same = isinstance(record, dict) and record.get("request") == task.request()
    except (OSError, ValueError):
        return None
    files = [task.folder / f"{kind}.npy" for kind in ("image", "label")]
    if task.options.volumes:
        files += [task.volume(kind) for kind in ("image", "label")]
    if not same or not all(file.is_file() for file in files):
        return None
    return PatientOutcome(task.patient.name, record, reused=True)


def prepare_patient(task: PatientTask) -> PatientOutcome:
    """Prepare one patient; what is wrong with it comes back as a problem.

    Raises:
        OutputError: when the output cannot be written.
    """
    name = task.patient.name
    try:
        request = task.request()
        content = read_content(task)
    except MemoryError:
        reason = "not enough memory; try again with --jobs 1"
        return PatientOutcome(name, problem=Problem(name, reason))
    except (OSError, ValueError) as error:
        return PatientOutcome(name, problem=Problem(name, str(error)))
    record = {**content.record(task.options), "request": request}
    with writing_into(task.output):
        (task.folder / "patient.json").unlink(missing_ok=True)
        for kind, stack in (("image", content.hu), ("label", content.label)):
            clear_leftovers(task.folder / f"{kind}.npy")
            with atomic_path(task.folder / f"{kind}.npy") as beside:
                np.save(beside, stack[record["stored_slices"]])
            if task.options.volumes:
                clear_leftovers(task.volume(kind))
                with atomic_path(task.volume(kind)) as beside:
                    nibabel.save(nifti_of(stack, content.affine), beside)
        write_json(task.folder / "patient.json", record)
    return PatientOutcome(name, plain(record))


@dataclass(frozen=True)
class Content:
    """What a patient gives, in LPS index order.

    Args:
        hu: int16 (Z, Y, X).
        label: uint8 (Z, Y, X), class values.
        affine: (4, 4), index (i, j, k) to LPS mm.
        structures: what the folder names mean.
        doubts: what had to be assumed, or was not read.
    """

    hu: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]
    structures: Structures
    doubts: tuple[str, ...]

    def record(self, options: PatientOptions) -> dict[str, Any]:
        """Return what the datalist is made from."""
        names = class_names(tumour=options.tumour)
        shown = [np.unique(image).tolist() for image in self.label]
        organs = {names.index(name) for name in ORGANS}
        having = [k for k, values in enumerate(shown) if organs & set(values)]
        chosen = (having if options.which == "organ" else list(range(len(shown))))[:: options.every]
        counts = np.bincount(self.label.ravel(), minlength=len(names))
        return {
            "size": list(self.hu.shape[::-1]),
            "spacing_mm": spacing_of(self.affine),
            "affine_lps": self.affine,
            "chosen_slices": chosen,
            "stored_slices": stored_slices(chosen, options.neighbours, len(shown)),
            "classes_shown": shown,
            "known_classes": self.structures.known_classes(tumour=options.tumour),
            "voxels": dict(zip(names, counts.tolist(), strict=True)),
            "incomplete": self.structures.incomplete(),
            "unrecognised": self.structures.unrecognised,
            "doubts": self.doubts,
        }


def read_content(task: PatientTask) -> Content:
    """Read a patient's CT and the masks that make classes.

    Raises:
        ValueError: naming the file that cannot be used.
    """
    tumour = task.options.tumour
    with ArchiveReader() as reader:
        files = list_files(reader, task.patient)
        found = recognise(files.masks)
        ct = read_ct(reader, files.ct)
        label = paint(_used_masks(reader, files, found, ct), found, tumour=tumour)
    hu_lps, label_lps = (_in_lps(array, ct.affine) for array in (ct.hu, label))
    return Content(
        sitk.GetArrayFromImage(hu_lps),
        sitk.GetArrayFromImage(label_lps),
        affine_of(hu_lps),
        found,
        (*ct.notes, *files.unread),
    )


def _used_masks(
    reader: ArchiveReader, files: PatientFiles, found: Structures, ct: CT
) -> dict[str, NDArray[np.bool_]]:
    used = set(found.parts) - set(found.incomplete())
    if not used:
        names = ", ".join(sorted(files.masks)) or "none"
        raise ValueError(f"MASKS_DICOM: no class is known from the structures {names}")
    return {name: read_mask(reader, files.masks[name], ct) for name in sorted(used)}


def _in_lps(array: NDArray[Any], affine: NDArray[np.float64]) -> sitk.Image:
    return to_lps(set_affine(sitk.GetImageFromArray(array), affine))
