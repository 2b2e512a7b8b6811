"""The data set 3D-IRCADb-01: abdominal CTs with outlined organs, as classes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.datasets.contract import DataSet, Labelled, Listing, Scan
from scripts.datasets.ircadb import structures
from scripts.datasets.ircadb.patients import Patient, find_patients
from scripts.datasets.problems import Problem
from scripts.running.options import read_truth


@dataclass(frozen=True)
class Ircadb(DataSet):
    """Prepare 3D-IRCADb-01 for training: slices as arrays, class maps, partitions, one datalist.

    Labels: 0 background, 1 liver (with its tumours and cysts), 2 bone, 3 kidney; an organ that a
    patient's folders do not outline is unknown there and not in its known_classes.

    Args:
        source: the unchanged download: folder or zip, of all patients or of some.
        tumour: add a fifth class, 4, for liver tumours.
    """

    name = "ircadb"
    title = "3D-IRCADb-01, abdominal organs"
    kind = "classes"
    label_kinds = ("classes",)
    slice_classes = ("liver", "kidney")  # bone is in nearly every slice
    window_hu = (-150.0, 250.0)
    metric = "val_iou_pooled"
    phantom = "ircadb"
    auditable = True

    tumour: bool = False

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: when tumour is neither true nor false.
        """
        object.__setattr__(self, "tumour", read_truth("tumour", self.tumour))

    def classes(self) -> Mapping[int, str]:
        """Label value -> class name."""
        return dict(enumerate(structures.class_names(tumour=self.tumour)))

    def find(self, source: Path) -> Listing:
        """List the patients.

        Raises:
            ValueError, OSError: see :func:`~scripts.datasets.ircadb.patients.find_patients`.
        """
        download = find_patients(source)
        scans = [
            Scan(patient.name, patient.name, _files(patient), details=patient)
            for patient in download.patients
        ]
        return Listing(scans, [Problem("", "", reason) for reason in download.refused])

    def read(self, scan: Scan) -> Labelled:
        """Read a patient's CT and the masks that make classes.

        Raises:
            ValueError, OSError: naming the file and the reason.
        """
        from scripts.datasets.ircadb.reading import read_labelled

        return read_labelled(scan.details, tumour=self.tumour)

    def depends_on(self, scan: Scan) -> Mapping[str, Any]:
        """Return the option and a digest of the tables that assign folder names to classes."""
        tables = (structures.PARTS, structures.REQUIRED, structures.PAINTED, structures.CLASSES)
        text = json.dumps(tables, default=sorted)  # sets in the tables are unordered
        return {"tumour": self.tumour, "structures": hashlib.sha256(text.encode()).hexdigest()}

    def audit(self, source: Path, output: Path | None, *, jobs: int) -> list[Problem]:
        """Print the table patient x structure: voxels, mL, mean HU; return the problems.

        Raises:
            ValueError, OSError: see :func:`~scripts.datasets.ircadb.audit.run_audit`.
        """
        from scripts.datasets.ircadb.audit import run_audit

        return run_audit(source, output, jobs=jobs)


def _files(patient: Patient) -> tuple[Path, ...]:
    copies = (*patient.ct, *patient.masks)
    return tuple(sorted({file.location.path for copy in copies for file in copy.files}))
