"""Prepared slices as training samples: the datalist, and arrays that are memory-mapped.

Loading a sample copies a few memory-mapped rows instead of decoding a volume
(``tests/benchmarks/bench_samples.py`` measures the difference).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils.enums import MetaKeys, SpaceKeys

from scripts.bundle.record import sha256_of
from scripts.bundle.training_scans import (
    TEST,
    TRAINING,
    VALIDATION,
    case_id,
    extent,
    hashed_ids,
    spacings_of,
)
from scripts.datasets.missing_data import MissingData
from scripts.datasets.shares import PARTITIONS
from scripts.storage.files import read_json
from scripts.volumes.geometry import is_inside, world_to_index
from scripts.volumes.grids import difference_of_grids, stored_grid

logger = logging.getLogger(__name__)

ARRAYS = ("image", "label", "lung")
OPTIONAL_ARRAYS = ("lung",)  # not every data set has a lung field
# entries of a datalist's provenance that say what its samples are, and no folder
PREPARED_WITH = (
    *("kind", "label", "min_readers", "objects", "tumour"),
    *("slices", "every", "neighbours", "empty_share"),
)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def load_datalist(path: str | Path, section: str) -> list[dict[str, Any]]:
    """Return the entries of one partition, with absolute paths and a number ``case`` each.

    Args:
        path: ``datalist.json``, written by ``python -m scripts prepare DATASET``.
        section: the partition: ``training``, ``validation`` or ``test`` for prepared slices;
            ``volumes/training`` and so on for whole volumes (``image`` and ``label``).

    Raises:
        FileNotFoundError: when the datalist, or a file that it lists, does not exist.
        ValueError: for an unknown section, or a file that is not such a datalist; for volumes, a
            scan in several partitions, a label on another grid than its image, or a nodule outside.
    """
    whole = section.startswith("volumes/")
    name = section.removeprefix("volumes/")
    if name not in PARTITIONS:
        valid = ", ".join([*PARTITIONS, *(f"volumes/{known}" for known in PARTITIONS)])
        raise ValueError(f"section: must be one of {valid}, got {section!r}")
    path = Path(path).resolve()
    content = _read(path)
    if whole:
        _check_volumes(path, content)
    entries = content["volumes"][name] if whole else content[name]
    files = ("image", "label") if whole else ARRAYS
    required = [key for key in files if key not in OPTIONAL_ARRAYS]
    needed = required if whole else [*required, "rows", "slice", "affine_lps"]
    for number, entry in enumerate(entries):
        instead = {"label"} if "target" in entry else set()  # classified, not segmented
        lacking = [key for key in needed if key not in entry and key not in instead]
        if lacking:
            raise ValueError(f"{path}: {section}[{number}] lacks {', '.join(lacking)}")
    resolved = _resolve(path, section, entries, files)
    if whole:
        _check_grids(path, section, resolved)
    return resolved


def declared_samples(path: str | Path, section: str) -> list[dict[str, Any]]:
    """Return the entries of one partition, for a config: see :func:`load_datalist`.

    Without data it returns :class:`~scripts.datasets.missing_data.MissingData`: the bundle can be
    built, a run is refused.

    Raises:
        ValueError: see :func:`load_datalist`.
    """
    try:
        return load_datalist(path, section)
    except FileNotFoundError as reason:
        return MissingData(reason)


def _read(path: Path) -> dict[str, Any]:
    lists = _read_object(path)
    if not all(isinstance(lists.get(name), list) for name in PARTITIONS):
        keys = ", ".join(lists) or "nothing"
        raise ValueError(f"{path}: must hold the lists {', '.join(PARTITIONS)}, got {keys}")
    return lists


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"datalist: {path} not found; `python -m scripts prepare DATASET` writes it"
        )
    return read_json(path)


def _check_volumes(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a datalist without volumes, or with a volume in several partitions."""
    if "volumes" not in content:
        split = content.get("provenance", {}).get("split") or {}
        raise ValueError(
            f"{path}: lists no volumes; {_again(content)} with --volumes true and a split that "
            f"keeps scans whole, such as patient (its split is {split.get('kind', 'unknown')})"
        )
    owners: dict[Any, set[str]] = {}
    for name in PARTITIONS:
        for entry in content["volumes"].get(name, ()):
            owners.setdefault(entry.get("series_uid"), set()).add(name)
    twice = [(uid, names) for uid, names in owners.items() if uid and len(names) > 1]
    if twice:
        uid, names = twice[0]
        raise ValueError(
            f"{path}: {len(twice)} volumes are in several partitions, the first: {uid} in "
            f"{' and '.join(sorted(names))}; {_again(content)} with --split patient"
        )


def _check_grids(path: Path, section: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse volumes whose label is on another grid, or whose nodules lie outside, by headers."""
    for entry in entries:
        name = f"{path}: {section}: {entry.get('series_uid', entry['image'])}"
        grid = stored_grid(entry["image"])
        if difference := difference_of_grids(grid, stored_grid(entry["label"])):
            raise ValueError(
                f"{name}: label {entry['label']} is not on the grid of its image: {difference}; "
                "prepare the data again"
            )
        for nodule in entry.get("nodules", ()):
            centre = nodule.get("centre_lps_mm")
            if centre is not None and not is_inside(world_to_index(centre, grid.affine), grid.size):
                raise ValueError(
                    f"{name}: nodule {nodule['id']} at {centre} mm lies outside the volume; "
                    "prepare the data again"
                )


def _again(content: Mapping[str, Any]) -> str:
    """Return the advice to prepare the data set of a datalist again."""
    return f"prepare again (python -m scripts prepare {content.get('name', 'DATASET')})"


def _resolve(
    path: Path, section: str, entries: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> list[dict[str, Any]]:
    """Make paths absolute, check that the files exist, and number the entries."""
    resolved = [
        {
            **entry,
            **{key: str(path.parent / entry[key]) for key in keys if key in entry},
            "case": case,
        }
        for case, entry in enumerate(entries)
    ]
    files = sorted({entry[key] for entry in resolved for key in keys if key in entry})
    missing = [file for file in files if not Path(file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path}: {len(missing)} of the {len(files)} files listed in {section} are missing, "
            f"the first: {missing[0]}. Move a prepared folder as a whole, with its datalist; "
            f"after moving the scans themselves, prepare again"
        )
    return resolved


def are_plain_volumes(samples: Sequence[Mapping[str, Any]]) -> bool:
    """Whether samples are pairs of image and label files, as MONAI Label gives them.

    Entries of a datalist state more, at least their number.

    Example:
        >>> are_plain_volumes([{"image": "a.nii.gz", "label": "b.nii.gz"}])
        True
    """
    return bool(samples) and all(set(sample) == {"image", "label"} for sample in samples)


def identities(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """Return digests of the slices of each partition and of their labels, independent of paths.

    A run is not resumed with other ones: another split would leak test slices into training, and
    with other labels under the same names it would learn something else.

    Args:
        samples: partition -> its entries, from :func:`load_datalist`.

    Returns:
        ``slices``, of the names in their order, and ``labels``, of the voxels.

    Example:
        >>> sample = {"series_uid": "1.2", "slice": 3, "label_kind": "ball", "image": "a.npy"}
        >>> moved = {**sample, "image": "b.npy"}
        >>> identities({"training": [sample]}) == identities({"training": [moved]})
        True
        >>> identities({"training": [sample]}) == identities({"test": [sample]})
        False
    """
    names = [
        (partition, sample.get("series_uid"), sample.get("slice"), sample.get("label_kind"))
        for partition in sorted(samples)
        for sample in samples[partition]
    ]
    labels = hashlib.sha256()
    for partition in sorted(samples):
        for sample in samples[partition]:
            labels.update(_label_of(sample))
    digests = (hashlib.sha256(json.dumps(names).encode()), labels)
    return dict(zip(("slices", "labels"), (one.hexdigest()[:16] for one in digests), strict=True))


def _label_of(sample: Mapping[str, Any]) -> bytes:
    """Return the label of a slice, or the digest of the file of a whole volume's."""
    if "label" not in sample:
        return b""
    if "rows" not in sample:
        return sha256_of(sample["label"]).encode()
    rows = sample["rows"]
    return read_rows(sample["label"], [rows[len(rows) // 2]], np.uint8).tobytes()


def class_names_of(content: Mapping[str, Any]) -> list[str]:
    """Return the class names of a datalist in the order of their values, background first.

    Example:
        >>> class_names_of({"classes": {"1": "liver", "0": "background"}})
        ['background', 'liver']
    """
    classes = content.get("classes", {})
    return [str(classes[value]) for value in sorted(classes, key=int)]


def check_labels(
    path: str | Path, *, kind: str | None = None, class_names: Sequence[str] | None = None
) -> None:
    """Refuse a datalist whose labels mean something else than a config takes them for.

    Args:
        path: ``datalist.json``.
        kind: expected kind of labels: ``instances`` (numbers of single lesions) or ``classes``;
            None for any.
        class_names: expected names of the classes, background first; None for any.

    Raises:
        ValueError: for another kind (classes would be scored as lesions, or lesions as classes), or
            for other class names or another order of them (masks would carry wrong names).
    """
    content = _read_object(Path(path))
    prepared_kind = content.get("kind", kind)
    if kind is not None and prepared_kind != kind:
        raise ValueError(
            f"dataset_dir: {path} has labels of kind {prepared_kind}, this bundle takes {kind}; "
            f"use a bundle for {prepared_kind} (python -m scripts new_bundle), or "
            f"{_again(content)} with labels of kind {kind}"
        )
    prepared = class_names_of(content)
    if class_names is not None and prepared and prepared != list(class_names):
        raise ValueError(
            f"class_names: {path} has {prepared}, the config {list(class_names)}; give the names "
            f'of the datalist, with --class_names "{prepared}"'
        )


def training_data(
    path: str | Path,
    samples: Sequence[Mapping[str, Any]],
    class_names: Sequence[str] | None = None,
    kind: str | None = None,
) -> dict[str, Any]:
    """Say what a network is trained, selected and to be tested on, without naming a case.

    Args:
        path: ``datalist.json``; samples of another source have none.
        samples: that the network was trained on.
        class_names: that the network learns, background first; None where no names are learnt.
        kind: kind of labels that the network learns, see :func:`check_labels`.

    Raises:
        ValueError: see :func:`check_labels`.

    Returns:
        kinds of label, the split, the seed, the number of samples, the smallest and largest
        distance of pixels and of slices in mm, and the hashes of the cases with
        their salt: who has a case can ask whether it was among them
        (:class:`scripts.bundle.training_scans.TrainingScans`). The salt
        follows from all training cases together, so that a training repeated writes the same.
        With a datalist also the data set with the options of its preparation, the hashes of its
        validation and test cases, and the numbers of samples, cases and patients.

    Example:
        >>> data = training_data("none.json", [{"series_uid": "1.2"}, {"series_uid": "1.2"}])
        >>> data["samples"], data["cases"] == hashed_ids([{"series_uid": "1.2"}], data["salt"])
        (2, True)
    """
    content = _read(Path(path)) if Path(path).is_file() else {}
    known = content.get("provenance", {})
    if content:
        check_labels(path, kind=kind, class_names=class_names)
    cases = sorted({case_id(sample) for sample in samples})
    spacings = spacings_of(samples)
    salt = hashlib.sha256(json.dumps(cases).encode()).hexdigest()[:16]
    return {
        "labels": sorted({str(s["label_kind"]) for s in samples if "label_kind" in s}),
        "split": known.get("split"),
        "seed": known.get("seed"),
        "samples": len(samples),
        "pixel_mm": extent(pixel for pixel, _ in spacings),
        "slice_mm": extent(distance for _, distance in spacings),
        "salt": salt,
        TRAINING: hashed_ids(samples, salt),
        **(_held_out(content, samples, salt) if content else {}),
    }


def _held_out(
    content: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], salt: str
) -> dict[str, Any]:
    """Describe the data set of a training, and what is not for training.

    Args:
        content: the datalist.
        samples: those trained on: slices, or whole volumes.
        salt: of the hashes.
    """
    whole = bool(samples) and "slice" not in samples[0]
    lists = content["volumes"] if whole and "volumes" in content else content
    parts = {name: lists.get(name, []) for name in PARTITIONS} | {"training": samples}
    known = content.get("provenance", {})
    return {
        VALIDATION: hashed_ids(parts["validation"], salt),
        TEST: hashed_ids(parts["test"], salt),
        "partitions": {name: _counted(entries) for name, entries in parts.items()},
        "data_set": {
            **({"name": content["name"]} if "name" in content else {}),
            **{name: known[name] for name in PREPARED_WITH if name in known},
        },
    }


def _counted(samples: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count samples, cases and patients; a case without patient counts as one."""
    return {
        "samples": len(samples),
        "cases": len({case_id(sample) for sample in samples}),
        "patients": len({str(s.get("patient_id", case_id(s))) for s in samples}),
    }


def training_mean(
    path: str | Path, window_hu: Sequence[float], *, outside_window: str = "clip"
) -> float:
    """Read the mean of the windowed training images from a datalist.

    Args:
        path: ``datalist.json`` of classes, written by ``python -m scripts prepare DATASET``.
        window_hu: HU window of the network's input.
        outside_window: handling of HU outside the window, see
            :class:`~scripts.transforms.intensity.WindowHU`.

    Returns:
        The mean with the window mapped to [0, 1]. Without a datalist 0, with a warning: a network
        can be built, and its mean is replaced with the trained one when weights are loaded.

    Raises:
        ValueError: when it has no mean, or the mean for another window.
    """
    if not Path(path).exists():
        logger.warning(
            "normalise: no %s; the network is built with the mean 0 until weights are loaded",
            path,
        )
        return 0.0
    content = _read(Path(path))
    mean = content.get("training_mean")
    if mean is None:
        raise ValueError(
            f"{path}: has no mean of the training images; {_again(content)}, or train with "
            "--normalise imagenet"
        )
    configured = [*map(float, window_hu), outside_window]
    prepared = [*map(float, mean["window_hu"]), mean["outside_window"]]
    if prepared != configured:
        raise ValueError(
            f"{path}: has the mean after the window {prepared}, the config has {configured}; "
            f"{_again(content)} with --window_hu, or change the window of the config"
        )
    return float(mean["windowed"])


class LoadSlicesd(MapTransform):
    """Read one prepared slice with its neighbours as tensors that can be collated.

    Memory-maps the arrays of a sample of :func:`load_datalist` and copies only its rows. The result
    holds each key as :class:`~monai.data.MetaTensor`, and ``case``, which leads back to the
    sample's other entries. Arrays are (y, x): H runs to posterior, W to the patient's left. The
    affine (RAS, mm) maps (h, w, 0) of this slice to the patient.

    Args:
        keys: one or more of ``image``, ``label``, ``lung``.
        neighbours: whether the image is (2n + 1, H, W), lowest slice first, or the slice alone,
            (1, H, W).

    Returns:
        image float32 HU; label uint8 (1, H, W), value k is nodule k of the scan, or class k; lung
        uint8 0/1. If the sample lists which classes are annotated in its patient, also
        ``class_known``: bool (number of classes,); an unknown class is labelled background.
        If it states a ``target`` for the whole image, also that: float32 (K,), 1, 0 or
        :data:`~scripts.transforms.class_presence.UNKNOWN` for each class.

    Raises:
        FileNotFoundError: when an array does not exist.
        ValueError: for an unknown key, a sample without lung field, and an array that is damaged
            or has fewer rows than the sample needs.
    """

    def __init__(self, keys: KeysCollection = ARRAYS, *, neighbours: bool = True) -> None:
        super().__init__(keys)
        unknown = [key for key in self.keys if key not in ARRAYS]
        if unknown:
            raise ValueError(f"keys: must be of {', '.join(ARRAYS)}, got {unknown}")
        self.neighbours = neighbours

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the rows of each key."""
        rows = list(data["rows"])
        centre = [rows[len(rows) // 2]]
        affine = slice_affine_ras(data["affine_lps"], data["slice"])
        loaded: dict[Hashable, Any] = {}
        for key in self.keys:
            if key not in data:
                advice = (
                    "train and evaluate with --lung_masking False"
                    if key in OPTIONAL_ARRAYS
                    else "it is for classification (configs/classifiers)"
                )
                raise ValueError(
                    f"{key}: scan {data.get('series_uid')} was prepared without one; {advice}"
                )
            wanted = rows if key == "image" and self.neighbours else centre
            array = read_rows(data[key], wanted, np.float32 if key == "image" else np.uint8)
            meta = {
                MetaKeys.SPACE: SpaceKeys.RAS,
                MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
                "filename_or_obj": str(data[key]),
            }
            loaded[key] = MetaTensor(torch.from_numpy(array), affine=affine, meta=meta)
        if "case" in data:
            loaded["case"] = data["case"]
        if "class_known" in data:
            loaded["class_known"] = torch.tensor(data["class_known"], dtype=torch.bool)
        if "target" in data:
            loaded["target"] = torch.tensor(data["target"], dtype=torch.float32)
        return loaded


def read_rows(path: str | Path, rows: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """Copy rows of a stack (S, H, W) from a memory-mapped ``.npy`` file.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is damaged or lacks a row.
    """
    try:
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: not found; was the prepared folder moved?") from None
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: damaged, delete its folder and prepare again: {error}") from None
    if stack.ndim != 3 or not 0 <= min(rows) <= max(rows) < len(stack):
        raise ValueError(
            f"{path}: must be (S, H, W) with rows {list(rows)}, got shape {stack.shape}"
        )
    if list(rows) == list(range(rows[0], rows[-1] + 1)):
        return np.array(stack[rows[0] : rows[-1] + 1], dtype=dtype)  # one contiguous copy
    return np.array(stack[list(rows)], dtype=dtype)


def slice_affine_ras(affine_lps: Any, number: int) -> torch.Tensor:
    """Return the affine of one slice as an array (y, x), from (h, w, 0) to RAS mm.

    Args:
        affine_lps: (4, 4), index (i, j, k) of the volume to LPS mm.
        number: the slice's index k.

    Example:
        >>> slice_affine_ras([[2, 0, 0, 5], [0, 3, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]], 10)
        tensor([[ 0., -2.,  0., -5.],
                [-3.,  0.,  0., -6.],
                [ 0.,  0.,  4., 47.],
                [ 0.,  0.,  0.,  1.]], dtype=torch.float64)
    """
    affine = np.asarray(affine_lps, dtype=np.float64)
    moved = affine[:, [1, 0, 2, 3]].copy()
    moved[:, 3] = affine @ [0.0, 0.0, number, 1.0]
    return torch.from_numpy(LPS_TO_RAS @ moved)
