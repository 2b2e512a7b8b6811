"""Reading of one patient of 3D-IRCADb-01: the CT, and a class map of its outlined structures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.contract import Labelled
from scripts.datasets.ircadb.patient_images import CT, read_ct, read_mask
from scripts.datasets.ircadb.patients import Patient, PatientFiles, list_files
from scripts.datasets.ircadb.structures import Structures, paint, recognise
from scripts.storage.archive import ArchiveReader
from scripts.volumes.volume import Volume, turned


def read_labelled(patient: Patient, *, tumour: bool) -> Labelled:
    """Read a patient's CT and the masks that make classes.

    Args:
        patient: the patient and its files.
        tumour: whether liver tumours are a separate class.

    Raises:
        ValueError, OSError: naming the file that cannot be used.
    """
    with ArchiveReader() as reader:
        files = list_files(reader, patient)
        structures = recognise(files.masks)
        ct = read_ct(reader, files.ct)
        label = paint(_used_masks(reader, files, structures, ct), structures, tumour=tumour)
    incomplete, unrecognised = structures.incomplete(), structures.unrecognised
    reasons = {
        "outlined, but its class is incomplete and therefore unknown": incomplete,
        "not recognised, belongs to no class": unrecognised,
    }
    return Labelled(
        Volume(ct.hu, ct.affine).in_lps(),
        turned(label, ct.affine),
        known=structures.known_classes(tumour=tumour),
        warnings=(*ct.notes, *files.unread),
        notes=[f"{reason}: {', '.join(names)}" for reason, names in reasons.items() if names],
        facts={
            "outlined_but_incomplete": incomplete,
            "structures_not_recognised": unrecognised,
        },
    )


def _used_masks(
    reader: ArchiveReader, files: PatientFiles, structures: Structures, ct: CT
) -> dict[str, NDArray[np.bool_]]:
    used = set(structures.parts) - set(structures.incomplete())
    if not used:
        names = ", ".join(sorted(files.masks)) or "none"
        raise ValueError(f"MASKS_DICOM: no class is known from the structures {names}")
    return {name: read_mask(reader, files.masks[name], ct) for name in sorted(used)}
