"""Layouts of a folder of images and label maps: recognition of the common ones, their cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.datasets.folder.case_files import (
    CasePaths,
    case_paths,
    visible_files,
    volumes_in,
)
from scripts.datasets.folder.case_table import Case, csv_cases, partition_named, stem_of
from scripts.datasets.problems import Problem
from scripts.running.reasons import listed, one_line
from scripts.storage.csv_files import read_csv
from scripts.storage.files import read_json

TITLES = {
    "cases": "a folder for each case: CASE/image.* and CASE/label.*",
    "decathlon": "Medical Decathlon: imagesTr, labelsTr, dataset.json",
    "nnunet": "nnU-Net raw: imagesTr/CASE_0000.*, labelsTr/CASE.*, dataset.json",
    "masks": "TotalSegmentator: CASE/ct.* and a mask for each class, CASE/segmentations/CLASS.*",
    "csv": "a CSV: image,label[,patient,split]",
    "dicom": "a folder for each case: a DICOM CT with its SEG, RTSTRUCT or .seg.nrrd",
}
CASE_FOLDERS = ("cases", "dicom")
IMAGE, MASKS = "ct", "segmentations"  # of TotalSegmentator
PARTITION_TABLE = "meta.csv"  # of TotalSegmentator
CHANNEL = "_0000"  # nnU-Net's number of the first image channel
_TEXTS = (".txt", ".json", ".csv", ".tsv", ".md", ".pdf", ".log")
_OF_WINDOWS = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Layout:
    """The layout of a source.

    Args:
        name: a key of :data:`TITLES`.
        folder: the folder that paths are relative to.
        table: its dataset.json or CSV, or TotalSegmentator's meta.csv; None if it has none.
    """

    name: str
    folder: Path
    table: Path | None = None


def recognise(source: Path) -> Layout:
    """Return the layout of a source.

    Raises:
        FileNotFoundError: for a source that does not exist or has no known layout; the message
            describes the known layouts.
        ValueError: for a source with two layouts, or an invalid dataset.json.
    """
    if source.is_file() and source.suffix.lower() == ".csv":
        return Layout("csv", source.parent, source)
    if not source.is_dir():
        raise FileNotFoundError(f"source: must be an existing folder or CSV file, got {source}")
    layouts: list[Layout] = []
    if (source / "cases.csv").is_file():
        layouts.append(Layout("csv", source, source / "cases.csv"))
    if (source / "imagesTr").is_dir() and (source / "labelsTr").is_dir():
        layouts.append(_with_dataset_json(source))
    if any(_holds_image(folder) for folder in _folders(source)):
        layouts.append(Layout("cases", source))
    if any(_holds_masks(folder) for folder in _folders(source)):
        table = source / PARTITION_TABLE
        layouts.append(Layout("masks", source, table if table.is_file() else None))
    if not layouts and _has_segments(source):
        layouts.append(Layout("dicom", source))
    if len(layouts) > 1:
        titles = " and as ".join(TITLES[layout.name] for layout in layouts)
        raise ValueError(f"source: {source} can be read as {titles}; move one of them elsewhere")
    if not layouts:
        titles = "; ".join(TITLES.values())
        raise FileNotFoundError(
            f"source: {source} must have one of these layouts: {titles}. It holds {_holds(source)}"
            + "".join(f"; {first.name}/ holds {_holds(first)}" for first in _folders(source)[:1])
        )
    return layouts[0]


def list_cases(layout: Layout, label_files: str | None = None) -> tuple[list[Case], list[Problem]]:
    """List the cases of a source, ordered by id, and the incomplete ones as problems.

    Args:
        layout: of the source.
        label_files: pattern that chooses the labels in the folder of each case.

    Raises:
        ValueError, OSError: for an invalid CSV, or a pattern for a layout without case folders.
    """
    if label_files is not None and layout.name not in CASE_FOLDERS:
        raise ValueError(
            f"label_files: chooses among the files of case folders; {TITLES[layout.name]} names "
            "the labels of each image"
        )
    if layout.table is not None and layout.name == "csv":
        cases, problems = csv_cases(layout.table)
    elif layout.name in CASE_FOLDERS:
        cases, problems = _case_folders(layout, lambda folder: _labelled(folder, label_files))
    elif layout.name == "masks":
        groups = {} if layout.table is None else _partitions(layout.table)
        cases, problems = _case_folders(layout, _masked, groups)
    else:
        cases, problems = _paired(layout, "Tr", "training")
        if (layout.folder / "labelsTs").is_dir():
            tested, more = _paired(layout, "Ts", "test")
            cases, problems = cases + tested, problems + more
    count = Counter(case.id for case in cases)
    for name in sorted(name for name in count if count[name] > 1):
        reason = "several images have this name, or one is listed twice"
        problems.append(Problem(name, str(layout.folder), reason))
    single = [case for case in cases if count[case.id] == 1]
    return sorted(single, key=lambda case: case.id), problems


def volume_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a volume: itself and its separate voxel file, or those of a folder."""
    from scripts.volumes.volume_files import files_of  # slow import, not for the help

    if path.is_dir():
        with suppress(OSError):  # an unreadable folder is reported when the case is read
            return tuple(visible_files(path))
    return files_of(path)


def masks_of(layout: Layout) -> str:
    """Name the masks of the first case of a source that has folders of them, for a message."""
    folders = (path for folder in _folders(layout.folder) for path in _mask_folders(folder))
    return listed([stem_of(path) for path in volumes_in(next(folders))], most=12)


def _with_dataset_json(source: Path) -> Layout:
    table = source / "dataset.json"
    if not table.is_file():
        raise FileNotFoundError(
            f"source: {source} holds imagesTr and labelsTr but no dataset.json, which says what "
            'images and labels mean, like {"modality": {"0": "CT"}, "labels": {"1": "liver"}}'
        )
    if {"channel_names", "file_ending"} & set(read_json(table)):
        return Layout("nnunet", source, table)
    labels = {stem_of(path) for path in volumes_in(source / "labelsTr")}
    for stem in (stem_of(path) for path in volumes_in(source / "imagesTr")):
        if stem not in labels and stem.endswith(CHANNEL) and stem[: -len(CHANNEL)] in labels:
            return Layout("nnunet", source, table)
    return Layout("decathlon", source, table)


def _paired(layout: Layout, which: str, group: str) -> tuple[list[Case], list[Problem]]:
    """Pair imagesTr with labelsTr, or imagesTs with labelsTs."""
    cases: list[Case] = []
    problems: list[Problem] = []
    labels: dict[str, Path] = {}
    for path in volumes_in(layout.folder / f"labels{which}"):
        if labels.setdefault(stem_of(path), path) != path:
            problems.append(Problem(stem_of(path), str(path), "is a second label map of this name"))
    for image in volumes_in(layout.folder / f"images{which}"):
        name, file = stem_of(image), f"{image.parent.name}/{image.name}"
        if layout.name == "nnunet":
            if not name.endswith(CHANNEL):
                reason = f"must end in {CHANNEL} (nnU-Net's first and, for CT, only channel)"
                problems.append(Problem(name, file, reason))
                continue
            name = name[: -len(CHANNEL)]
        if name in labels:
            cases.append(Case(name, image, labels[name], group=group))
        else:
            problems.append(Problem(name, file, f"no label map {name}.* in labels{which}"))
    problems += [
        *_unread(layout.folder / f"images{which}"),
        *_unread(layout.folder / f"labels{which}"),
    ]
    for name in sorted(set(labels) - {case.id for case in cases}):
        file = f"labels{which}/{labels[name].name}"
        problems.append(Problem(name, file, f"no image of this name in images{which}"))
    return cases, problems


def _unread(folder: Path) -> list[Problem]:
    """Report what lies among images or label maps and is neither a volume nor a text."""
    from scripts.volumes.volume_files import VOLUME_SUFFIXES  # slow import, not for the help

    kinds, problems = ", ".join(VOLUME_SUFFIXES), []
    volumes = volumes_in(folder)
    others = sorted({p for p in folder.iterdir() if not p.name.startswith(".")} - {*volumes})
    others = [path for path in others if path.suffix.lower() not in _TEXTS]
    others = [path for path in others if path.name.lower() not in _OF_WINDOWS]
    voxels = {file for path in volumes for file in volume_files(path)} if others else set()
    cases = {stem_of(path) for path in volumes}
    for path in others:
        if path not in voxels:
            what = "is a folder" if path.is_dir() else "is no volume file that is read"
            place, reason = f"{folder.name}/{path.name}", f"{what} (read are {kinds})"
            problems.append(Problem(path.name, place, reason, left_out=path.name not in cases))
    return problems


def images_without_labels(layout: Layout) -> int:
    """Count the test images that the source has no labels of."""
    folder = layout.folder / "imagesTs"
    paired = layout.name in ("decathlon", "nnunet")
    return 0 if not paired or (layout.folder / "labelsTs").is_dir() else len(volumes_in(folder))


def _partitions(table: Path) -> dict[str, str]:
    """Read the partition of each case that TotalSegmentator's meta.csv names."""
    groups: dict[str, str] = {}
    for row in read_csv(table, ("image_id",)):
        if cell := row.get("split"):
            groups[row.get("image_id")] = partition_named(cell, f"{table.name} row {row.line}")
    return groups


def _labelled(folder: Path, label_files: str | None) -> CasePaths:
    labels = [*_named(folder, "label"), *_named_dicom(folder, "label")]
    return case_paths(folder, _named(folder, "image"), labels, label_files)


def _masked(folder: Path) -> CasePaths:
    images, masks = _named(folder, IMAGE), _mask_folders(folder)
    if len(images) != 1 or len(masks) != 1:
        raise ValueError(
            f"must hold one {IMAGE}.* and a folder {MASKS} with masks, it holds {_holds(folder)}"
        )
    return CasePaths(images[0], masks[0])


def _case_folders(
    layout: Layout, paths_in: Callable[[Path], CasePaths], groups: Mapping[str, str] | None = None
) -> tuple[list[Case], list[Problem]]:
    """List the folders of cases.

    Args:
        layout: of the source.
        paths_in: finds image and labels in the folder of a case.
        groups: partitions that the source names, by case.
    """
    cases: list[Case] = []
    problems: list[Problem] = []
    for folder in _folders(layout.folder):
        if (folder / "datalist.json").is_file():  # an earlier output
            continue
        try:
            found = paths_in(folder)
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            problems.append(Problem(folder.name, folder.name, reason))
            continue
        except ValueError as error:
            problems.append(Problem(folder.name, folder.name, one_line(error)))
            continue
        group = (groups or {}).get(folder.name)
        cases.append(
            Case(folder.name, found.image, found.label, group=group, series_uid=found.series_uid)
        )
    return cases, problems


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _holds_image(folder: Path) -> bool:
    try:
        return bool(_named(folder, "image"))
    except OSError:  # reported with the cases
        return False


def _holds_masks(folder: Path) -> bool:
    try:
        return bool(_named(folder, IMAGE) and _mask_folders(folder))
    except OSError:  # reported with the cases
        return False


def _mask_folders(folder: Path) -> list[Path]:
    named = (path for path in _folders(folder) if path.name.casefold() == MASKS)
    return [path for path in named if volumes_in(path)]


def _named(folder: Path, name: str) -> list[Path]:
    """Return the volumes ``name.*`` in the folder of a case, and the DICOM folder ``name``."""
    inner = [path for path in _folders(folder) if path.name.casefold() == name]
    return [path for path in volumes_in(folder) if stem_of(path).casefold() == name] + inner


def _named_dicom(folder: Path, name: str) -> list[Path]:
    files = (path for path in visible_files(folder) if path.suffix.lower() == ".dcm")
    return [path for path in files if path.stem.casefold() == name]


def _has_segments(source: Path) -> bool:
    """Whether a file of named segments lies in the folder of a case."""
    from scripts.datasets.segments.open_file import holds_segments  # slow, not for the help

    return any(map(holds_segments, _folders(source)))


def _holds(folder: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    return listed(names) or "nothing"
