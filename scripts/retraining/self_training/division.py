"""Labelled and unlabelled patients of a prepared data set, and the data sets made of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.datasets.datalist import read_datalist
from scripts.datasets.shares import PARTITIONS, leaks
from scripts.datasets.stored_slices import ARRAYS
from scripts.storage.files import write_json
from scripts.storage.output_folder import portable_path

FILE = "datalist.json"
IMAGE_KEYS = (
    *("image", "lung", "series_uid", "patient_id", "spacing_mm", "affine_lps", "rows", "slice"),
    "slices_in_volume",
)
"""What an entry without annotation says of its slice: everything else stays withheld."""
LABEL_KIND = "pseudo"

Entry = dict[str, Any]


@dataclass(frozen=True)
class Division:
    """The training patients of a data set, divided into labelled and unlabelled ones.

    The label files of unlabelled patients, and of the test partition, need not exist and are not
    read. Those of the validation partition are used: its patients are labelled as well.

    Attributes:
        path: of the ``datalist.json``.
        content: of this file.
        labelled: training patients whose labels are used.
        unlabelled: the other training patients.
    """

    path: Path
    content: Mapping[str, Any]
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]

    def entries(self, patients: Sequence[str], *, partition: str = "training") -> list[Entry]:
        """Return the entries of some patients, with absolute paths."""
        chosen = set(patients)
        return [e for e in self._absolute(self.content[partition]) if _patient(e) in chosen]

    def images(self) -> list[Entry]:
        """Return the entries of the unlabelled patients, without anything that annotation says."""
        entries = self.entries(self.unlabelled)
        return [{key: one[key] for key in IMAGE_KEYS if key in one} for one in entries]

    def all_labelled(self) -> list[Entry]:
        """Return all training entries, labelled: what self-training is compared with."""
        return self.entries([*self.labelled, *self.unlabelled])

    def write(self, folder: Path, training: Sequence[Entry], record: Mapping[str, Any]) -> Path:
        """Write a data set with other training samples, and return its datalist.

        Whole volumes of unlabelled patients are left out, as only slices get labels.

        Args:
            folder: to write into.
            training: entries with absolute paths.
            record: what they are, for the provenance.
        """
        content = dict(self.content)
        for partition in PARTITIONS:
            entries = training if partition == "training" else self._absolute(content[partition])
            content[partition] = [_portable(entry, folder) for entry in entries]
        if "volumes" in content:
            volumes = {p: self._absolute(e) for p, e in content["volumes"].items()}
            known = set(self.labelled)
            volumes["training"] = [v for v in volumes["training"] if _patient(v) in known]
            content["volumes"] = volumes
        content["provenance"] = {**content.get("provenance", {}), "self_training": dict(record)}
        write_json(folder / FILE, content)
        return folder / FILE

    def _absolute(self, entries: Sequence[Mapping[str, Any]]) -> list[Entry]:
        folder = Path(os.path.abspath(self.path.parent))
        return [
            {**one, **{key: str(folder / one[key]) for key in ARRAYS if key in one}}
            for one in entries
        ]


def divide(
    datalist: Path, labelled_patients: int | float | Sequence[str] | None, *, seed: int = 0
) -> Division:
    """Divide the training patients of a data set before anything is learnt.

    Args:
        datalist: ``datalist.json`` of prepared slices.
        labelled_patients: their number, or below 1 their share of the training patients, drawn at
            random (more of them include the fewer ones of the same seed); or their names; None for
            all whose entries name a label.
        seed: of the draw.

    Raises:
        FileNotFoundError: when there is no datalist.
        ValueError: when a patient is in several partitions, or no patient would be left labelled
            or unlabelled.
    """
    content = read_datalist(datalist)
    if both := leaks(content):
        raise ValueError(
            f"datalist: {len(both)} patients are in several partitions of {datalist}, the first: "
            f"{both[0]}; prepare again with --split patient"
        )
    without = {_patient(entry) for entry in content["training"] if "label" not in entry}
    everyone = sorted({_patient(entry) for entry in content["training"]})
    possible = [name for name in everyone if name not in without]
    if isinstance(labelled_patients, float):
        labelled_patients = max(1, round(labelled_patients * len(everyone)))
    if labelled_patients is None:
        chosen = possible
    elif isinstance(labelled_patients, int):
        order = np.random.default_rng(seed).permutation(len(possible))
        chosen = [possible[number] for number in order[:labelled_patients]]
    else:
        chosen = list(map(str, labelled_patients))
    strangers = [name for name in chosen if name not in possible]
    wanted = labelled_patients if isinstance(labelled_patients, int) else len(chosen)
    if strangers or wanted > len(possible) or not 1 <= wanted < len(everyone):
        got = f"{strangers[0]!r}, which is none of them" if strangers else wanted
        raise ValueError(
            f"labelled_patients: must leave labelled and unlabelled ones of the {len(everyone)} "
            f"training patients, {len(possible)} of them with labels, got {got}"
        )
    unlabelled = tuple(name for name in everyone if name not in chosen)
    return Division(datalist, content, tuple(sorted(chosen)), unlabelled)


def _patient(entry: Mapping[str, Any]) -> str:
    return str(entry["patient_id"])


def _portable(entry: Mapping[str, Any], folder: Path) -> Entry:
    paths = {key: portable_path(Path(entry[key]), folder) for key in ARRAYS if key in entry}
    return {**entry, **paths}
