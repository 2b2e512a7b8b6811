"""``python -m scripts shuffle_labels``: a control, in which images have the labels of others.

A network that learns from such data can only learn where labels usually lie. Whatever it reaches on
the true labels of the test is what position alone gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from scripts.bundle.record import provenance
from scripts.bundle.training_scans import SHUFFLED, case_id
from scripts.datasets.datalist import absolute, lists_of, read_datalist, with_lists
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.stored_slices import read_rows
from scripts.running.options import check_whole
from scripts.storage.files import atomic_path, write_json
from scripts.storage.locks import claimed
from scripts.storage.output_folder import portable_path, writing_into
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.grids import stored_grid
from scripts.volumes.volume_files import read_volume_file

LEARNT = PARTITIONS[:2]  # training and validation
OF_IMAGE = (
    *("image", "lung", "context", "series_uid", "scan_uid", "patient_id", "spacing_mm"),
    *("affine_lps", "rows", "slice", "slices_in_volume", "volume", "crop"),
)
"""What an entry says of its image; everything else belongs to the label."""
PLACES = ("excluded",)
"""Entries of a label that are positions in its own image alone, and are left out."""

Entry = dict[str, Any]
Labels = NDArray[np.uint8]


def shuffle_labels(datalist: str, output: str, *, seed: int = 0) -> None:
    """Write a prepared data set whose training and validation images have other patients' labels.

    For a control: a network that is trained on it must fail on the test partition, whose labels
    stay as they are. Each patient gets the labels of one other patient of training or validation.
    Where sizes differ, the label is stretched to its new image. Images are not copied. The labels
    are named ``shuffled``; evaluation warns of a network that was trained on them, and ``package``
    and ``release`` refuse it.

    Args:
        datalist: datalist.json of ``prepare``: slices, and whole volumes if there are any.
        output: folder to write datalist.json and the labels into.
        seed: of the exchange.

    Raises:
        FileNotFoundError: when a file does not exist.
        ValueError: for fewer than two patients, samples without labels, or joined data sets.
    """
    check_whole("seed", seed, 0)
    path, folder = Path(str(datalist)).resolve(), Path(str(output)).resolve()
    content = absolute(read_datalist(path), path.parent)
    if "domains" in content:
        raise ValueError(
            f"datalist: {path} joins {', '.join(content['domains'])}, and labels of one mean "
            "nothing in another; shuffle each data set, then join them (python -m scripts domains)"
        )
    donors = other_patients(_patients_of(content), seed)
    with claimed(folder), writing_into(folder):
        (folder / "labels").mkdir(exist_ok=True)
        made = {
            (prefix, partition): entries
            for prefix in ("", "volumes/")
            for partition, entries in _shuffled(content, prefix, donors, folder).items()
        }
        shuffled = with_lists(content, made)
        record = provenance(seed=seed, labels_of=donors)
        shuffled["provenance"] = {**content.get("provenance", {}), SHUFFLED: record}
        write_json(folder / "datalist.json", shuffled)
    print(f"labels of {len(donors)} patients exchanged; test labels are unchanged")
    print(f"written to {folder}")


def other_patients(patients: Sequence[str], seed: int) -> dict[str, str]:
    """Return for each patient another one, whose labels it gets; each is chosen once.

    Raises:
        ValueError: for fewer than two patients.

    Example:
        >>> chosen = other_patients(["a", "b", "c"], 0)
        >>> sorted(chosen.values()), any(one == other for one, other in chosen.items())
        (['a', 'b', 'c'], False)
    """
    everyone = sorted(set(patients))
    if len(everyone) < 2:
        raise ValueError(
            "datalist: labels are exchanged between patients of training and validation, there "
            f"must be two or more; got {len(everyone)}"
        )
    order = [everyone[i] for i in np.random.default_rng(seed).permutation(len(everyone))]
    return dict(zip(order, [*order[1:], order[0]], strict=True))


def _patient(entry: Mapping[str, Any]) -> str:
    return str(entry.get("patient_id", case_id(entry)))


def _patients_of(content: Mapping[str, Any]) -> list[str]:
    lists = [entries for _, name, entries in lists_of(content) if name in LEARNT]
    for entry in (entry for entries in lists for entry in entries):
        if "label" not in entry:
            raise ValueError(
                f"datalist: {entry.get('series_uid')} has no label; a control needs the labels of "
                "all samples of training and validation"
            )
    return [_patient(entry) for entries in lists for entry in entries]


def _shuffled(
    content: Mapping[str, Any], prefix: str, donors: Mapping[str, str], folder: Path
) -> dict[str, list[Entry]]:
    """Exchange the labels of slices (prefix empty) or of whole volumes; partition -> entries."""
    listed = {name: e for pre, name, e in lists_of(content) if pre == prefix and name in LEARNT}
    cases: dict[str, dict[str, list[Entry]]] = {}  # patient -> image -> entries
    for entries in listed.values():
        for entry in entries:
            cases.setdefault(_patient(entry), {}).setdefault(entry["image"], []).append(dict(entry))
    new: dict[tuple[str, Any], Entry] = {}
    numbers = iter(range(sum(map(len, cases.values()))))
    for patient, images in cases.items():
        offered = list(cases.get(donors[patient], {}).values())
        if not offered:
            raise ValueError(
                f"datalist: patient {donors[patient]} has no {'volume' if prefix else 'slice'}; "
                "prepare again with both for every patient"
            )
        for place, own in enumerate(images.values()):
            others = offered[place % len(offered)]
            write = _write_volume if prefix else _write_slices
            name = folder / "labels" / f"{next(numbers):04d}"
            file = write(own, _spread(others, len(own)), name)
            for entry, other in zip(own, _spread(others, len(own)), strict=True):
                new[entry["image"], _row(entry)] = _entry(entry, other, portable_path(file, folder))
    return {
        name: [new[entry["image"], _row(entry)] for entry in entries]
        for name, entries in listed.items()
    }


def _spread(entries: Sequence[Entry], count: int) -> list[Entry]:
    """Return so many entries, in order and evenly spread: some twice, or not all."""
    return [entries[number * len(entries) // count] for number in range(count)]


def _row(entry: Mapping[str, Any]) -> int | None:
    """Return the row of an entry's slice in its stacks; None for a whole volume."""
    rows = entry.get("rows")
    return None if rows is None else int(rows[len(rows) // 2])


def _entry(image: Entry, label: Entry, file: str) -> Entry:
    """Return an entry with the image of one and the label of another.

    Centres of lesions are left out: they are positions in the other patient.
    """
    of_label = {k: value for k, value in label.items() if k not in (*OF_IMAGE, *PLACES)}
    if "nodules" in of_label:
        of_label["nodules"] = [
            {key: value for key, value in one.items() if key != "centre_lps_mm"}
            for one in of_label["nodules"]
        ]
    own = {key: value for key, value in image.items() if key in OF_IMAGE}
    return {**own, **of_label, "label": file, "label_kind": SHUFFLED}


def _write_slices(own: Sequence[Entry], others: Sequence[Entry], name: Path) -> Path:
    """Write the labels of the slices of one stack, in the rows of their images."""
    shape = np.load(own[0]["image"], mmap_mode="r", allow_pickle=False).shape
    stack: Labels = np.zeros(shape, np.uint8)
    for entry, other in zip(own, others, strict=True):
        row = read_rows(other["label"], [int(_row(other) or 0)], np.uint8)
        stack[_row(entry)] = stretched(row, (1, *shape[1:]))[0]
    file = name.with_suffix(".npy")
    with atomic_path(file) as part:
        np.save(part, stack)
    return file


def _write_volume(own: Sequence[Entry], others: Sequence[Entry], name: Path) -> Path:
    """Write the label of a volume, on the grid of its image."""
    grid = stored_grid(own[0]["image"])
    label = read_volume_file(Path(others[0]["label"])).in_lps().hu
    file = name.with_suffix(".nii.gz")
    with atomic_path(file) as part:
        nibabel.save(
            nifti_of(stretched(label.astype(np.uint8), grid.size[::-1]), grid.affine), part
        )
    return file


def stretched(label: Labels, shape: Sequence[int]) -> Labels:
    """Stretch a label to another shape; each voxel gets the nearest value.

    Example:
        >>> stretched(np.array([[0, 1]], np.uint8), (2, 4)).tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    places = [
        ((np.arange(wanted) + 0.5) * size / wanted).astype(int)
        for wanted, size in zip(shape, label.shape, strict=True)
    ]
    return np.asarray(label[np.ix_(*places)])
