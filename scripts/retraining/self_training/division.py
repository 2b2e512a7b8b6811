"""Labelled and unlabelled patients of a prepared data set, and the data sets made of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.datasets.datalist import (
    absolute,
    lists_of,
    prepare_again,
    read_datalist,
    with_lists,
)
from scripts.datasets.shares import leaks
from scripts.datasets.stored_slices import ARRAYS
from scripts.storage.files import write_json
from scripts.storage.output_folder import portable_path

FILE = "datalist.json"
IMAGE_KEYS = (
    *("image", "lung", "series_uid", "scan_uid", "patient_id", "spacing_mm", "affine_lps", "rows"),
    *("slice", "slices_in_volume", "crop"),
)
"""What an entry without annotation says of its image: everything else stays withheld."""
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
        prefix: of the lists that get labels: empty for slices, ``volumes/`` for whole volumes.
    """

    path: Path
    content: Mapping[str, Any]
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]
    prefix: str = ""

    def entries(self, patients: Sequence[str], *, partition: str = "training") -> list[Entry]:
        """Return the entries of some patients, slices or volumes, with absolute paths."""
        chosen = set(patients)
        listed = self._lists()[self.prefix, partition]
        return [entry for entry in listed if _patient(entry) in chosen]

    def everyone(self, partition: str) -> list[Entry]:
        """Return all entries of a partition, with absolute paths."""
        return self._lists()[self.prefix, partition]

    @property
    def unit(self) -> str:
        """What gets a label: slice or volume."""
        return "volume" if self.prefix else "slice"

    def images(self) -> list[Entry]:
        """Return the entries of the unlabelled patients, without anything that annotation says."""
        entries = self.entries(self.unlabelled)
        return [{key: one[key] for key in IMAGE_KEYS if key in one} for one in entries]

    def all_labelled(self) -> list[Entry]:
        """Return all training entries, labelled: what self-training is compared with."""
        return self.entries([*self.labelled, *self.unlabelled])

    def write(self, folder: Path, training: Sequence[Entry], record: Mapping[str, Any]) -> Path:
        """Write a data set with other training samples, and return its datalist.

        Of the other kind, volumes where slices get labels or the reverse, only those of labelled
        patients remain.

        Args:
            folder: to write into.
            training: entries with absolute paths.
            record: what they are, for the provenance.
        """
        lists = {
            (prefix, partition): entries
            if partition != "training"
            else [entry for entry in entries if _patient(entry) in set(self.labelled)]
            for (prefix, partition), entries in self._lists().items()
        }
        lists[self.prefix, "training"] = list(training)
        portable = {key: [_portable(e, folder) for e in entries] for key, entries in lists.items()}
        content = with_lists(self.content, portable)
        content["provenance"] = {**content.get("provenance", {}), "self_training": dict(record)}
        write_json(folder / FILE, content)
        return folder / FILE

    def _lists(self) -> dict[tuple[str, str], list[Entry]]:
        """Return all lists: prefix and partition -> entries with absolute paths."""
        content = absolute(self.content, Path(os.path.abspath(self.path.parent)))
        return {
            (prefix, name): [dict(entry) for entry in entries]
            for prefix, name, entries in lists_of(content)
        }


def divide(
    datalist: Path,
    labelled_patients: int | float | Sequence[str] | None,
    *,
    seed: int = 0,
    prefix: str = "",
) -> Division:
    """Divide the training patients of a data set before anything is learnt.

    Args:
        datalist: ``datalist.json`` of prepared slices, or volumes.
        labelled_patients: their number, or below 1 their share of the training patients, drawn at
            random (more of them include the fewer ones of the same seed); or their names; None for
            all whose entries name a label.
        seed: of the draw.
        prefix: of the lists that get labels: empty for slices, ``volumes/`` for whole volumes.

    Raises:
        FileNotFoundError: when there is no datalist.
        ValueError: when there are no volumes, a patient is in several partitions, or no patient
            would be left labelled or unlabelled.
    """
    content = read_datalist(datalist)
    if both := leaks(content):
        raise ValueError(
            f"datalist: {len(both)} patients are in several partitions of {datalist}, the first: "
            f"{both[0]}; prepare again with --split patient"
        )
    if prefix and "volumes" not in content:
        raise ValueError(
            f"datalist: {datalist} lists no volumes, which the networks of config_file read; "
            f"{prepare_again(content)} with --volumes true"
        )
    training = content["volumes"]["training"] if prefix else content["training"]
    without = {_patient(entry) for entry in training if "label" not in entry}
    everyone = sorted({_patient(entry) for entry in training})
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
    others = [name for name in chosen if name not in possible]
    wanted = labelled_patients if isinstance(labelled_patients, int) else len(chosen)
    if others or wanted > len(possible) or not 1 <= wanted < len(everyone):
        got = f"{others[0]!r}, which is none of them" if others else wanted
        raise ValueError(
            f"labelled_patients: must leave labelled and unlabelled ones of the {len(everyone)} "
            f"training patients, {len(possible)} of them with labels, got {got}"
        )
    unlabelled = tuple(name for name in everyone if name not in chosen)
    return Division(datalist, content, tuple(sorted(chosen)), unlabelled, prefix)


def _patient(entry: Mapping[str, Any]) -> str:
    return str(entry["patient_id"])


def _portable(entry: Mapping[str, Any], folder: Path) -> Entry:
    paths = {key: portable_path(Path(entry[key]), folder) for key in ARRAYS if key in entry}
    return {**entry, **paths}
