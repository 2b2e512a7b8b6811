"""From the records of prepared patients to the lists of samples and volumes, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.datasets.datalist import read_rows
from scripts.datasets.ircadb.options import PatientOptions, SplitOptions, WindowOptions
from scripts.datasets.ircadb.splits import (
    assign_folds,
    assign_patients,
    assign_random_slices,
    assign_slice_blocks,
)
from scripts.datasets.ircadb.structures import class_names
from scripts.datasets.shares import SECTIONS
from scripts.transforms.intensity import WindowHU
from scripts.transforms.neighbours import rows_of

Sample = dict[str, Any]
Lists = dict[str, list[Sample]]
LABEL_KIND = "classes"


@dataclass(frozen=True)
class PreparedPatient:
    """A patient and the record that preparation left of it."""

    patient_id: str
    record: Mapping[str, Any]


def samples_of(patient: PreparedPatient, options: PatientOptions) -> list[Sample]:
    """List the samples of one patient, from the feet to the head."""
    record, name = patient.record, patient.patient_id
    depth = record["size"][2]
    return [
        {
            "image": f"scans/{name}/image.npy",
            "label": f"scans/{name}/label.npy",
            "rows": rows_of(number, record["stored_slices"], options.neighbours, depth),
            "slice": number,
            **_shared(patient, options),
            "affine_lps": record["affine_lps"],
            "classes_shown": record["classes_shown"][number],
        }
        for number in record["chosen_slices"]
    ]


def _shared(patient: PreparedPatient, options: PatientOptions) -> Sample:
    known = patient.record["known_classes"]
    return {
        "series_uid": patient.patient_id,
        "patient_id": patient.patient_id,
        "spacing_mm": patient.record["spacing_mm"],
        "slices_in_volume": patient.record["size"][2],
        "label_kind": LABEL_KIND,
        "known_classes": known,
        "class_known": [k in known for k in range(len(class_names(tumour=options.tumour)))],
    }


def patient_sections(
    patients: Sequence[PreparedPatient], split: SplitOptions, *, tumour: bool
) -> dict[str, str]:
    """Section of every patient in a split that keeps patients whole.

    Raises:
        ValueError: when there are too few patients.
    """
    if split.kind == "fold":
        names = [patient.patient_id for patient in patients]
        return assign_folds(names, folds=split.folds, test_fold=split.test_fold, seed=split.seed)
    every = len(class_names(tumour=tumour))
    complete = {p.patient_id: len(p.record["known_classes"]) == every for p in patients}
    return assign_patients(complete, seed=split.seed)


def divide(
    patients: Sequence[PreparedPatient], options: PatientOptions, split: SplitOptions
) -> Lists:
    """Put every sample into its section; see :mod:`scripts.datasets.ircadb.splits`.

    Raises:
        ValueError: when there is too little for the split.
    """
    slices = {p.patient_id: p.record["chosen_slices"] for p in patients}
    if split.kind in ("patient", "fold"):
        whole = patient_sections(patients, split, tumour=options.tumour)
        sections = {(name, number): whole[name] for name in slices for number in slices[name]}
    elif split.kind == "slice_random":
        sections = assign_random_slices(slices, seed=split.seed)
    else:
        gap = max(1, 2 * options.neighbours)
        sections = assign_slice_blocks(slices, block=split.block, gap=gap, seed=split.seed)
    lists: Lists = {section: [] for section in SECTIONS}
    for patient in patients:
        for sample in samples_of(patient, options):
            section = sections.get((patient.patient_id, sample["slice"]))
            if section is not None:
                lists[section].append(sample)
    return lists


def volume_lists(
    lists: Lists, patients: Sequence[PreparedPatient], options: PatientOptions
) -> Lists:
    """Whole volumes of every section that has a sample of the patient.

    Where the split keeps patients whole, each stands once; otherwise (``slice_random``,
    ``slice_block``) in every section that has a slice of it.
    """
    volumes: Lists = {}
    for section, samples in lists.items():
        here = {sample["patient_id"] for sample in samples}
        volumes[section] = [_volume(p, options) for p in patients if p.patient_id in here]
    return volumes


def _volume(patient: PreparedPatient, options: PatientOptions) -> Sample:
    files = {kind: f"volumes/{patient.patient_id}_{kind}.nii.gz" for kind in ("image", "label")}
    return {**files, **_shared(patient, options)}


def training_mean(samples: Sequence[Sample], output: Path, window: WindowOptions) -> dict[str, Any]:
    """Mean of the training images, to be subtracted from the network's input (FCN paper, 2.1).

    Args:
        samples: of the training section; each slice counts once, neighbours do not.
        output: the prepared folder.
        window: see :class:`~scripts.transforms.intensity.WindowHU`, outside ``clip``.

    Returns:
        ``hu``: mean over all voxels; ``windowed``: mean after the window was mapped to [0, 1];
        with the window and the number of slices.

    Raises:
        ValueError: when there is no training slice.
    """
    if not samples:
        raise ValueError("split: no training slice to take the mean of")
    transform = WindowHU((window.low_hu, window.high_hu), outside="clip")
    sums = np.zeros(2)
    for sample in samples:
        centre = sample["rows"][len(sample["rows"]) // 2]
        image = read_rows(output / sample["image"], [centre], np.float32)
        windowed = transform(torch.from_numpy(image)).numpy()
        sums += image.mean(dtype=np.float64), windowed.mean(dtype=np.float64)
    hu, windowed_mean = (sums / len(samples)).tolist()
    return {
        "hu": hu,
        "windowed": windowed_mean,
        "window_hu": [window.low_hu, window.high_hu],
        "outside_window": "clip",
        "slices": len(samples),
    }
