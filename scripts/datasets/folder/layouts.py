"""Layouts of a folder of images and label maps: recognition of four common ones, their cases."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.datasets.problems import Problem
from scripts.datasets.shares import PARTITIONS
from scripts.storage.csv_files import read_csv
from scripts.storage.files import read_json

TITLES = {
    "cases": "a folder for each case: CASE/image.* and CASE/label.*",
    "decathlon": "Medical Decathlon: imagesTr, labelsTr, dataset.json",
    "nnunet": "nnU-Net raw: imagesTr/CASE_0000.*, labelsTr/CASE.*, dataset.json",
    "csv": "a CSV: image,label[,patient,split]",
}
CHANNEL = "_0000"  # nnU-Net's number of the first image channel
COLUMNS = ("image", "label")
OPTIONAL_COLUMNS = ("patient", "split")
_TEXTS = (".txt", ".json", ".csv", ".tsv", ".md", ".pdf", ".log")
_OF_WINDOWS = ("thumbs.db", "desktop.ini")
_SHORT_NAMES = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class Layout:
    """The layout of a source.

    Args:
        name: a key of :data:`TITLES`.
        folder: the folder that paths are relative to.
        table: its dataset.json or CSV; None for case folders.
    """

    name: str
    folder: Path
    table: Path | None = None


@dataclass(frozen=True)
class Case:
    """One CT and its label map; ``patient`` and ``group`` (partition) if the source names them."""

    id: str
    image: Path
    label: Path
    patient: str | None = None
    group: str | None = None


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


def list_cases(layout: Layout) -> tuple[list[Case], list[Problem]]:
    """List the cases of a source, ordered by id, and the incomplete ones as problems.

    Raises:
        ValueError, OSError: for an invalid CSV.
    """
    if layout.name == "csv":
        cases, problems = _csv_cases(layout)
    elif layout.name == "cases":
        cases, problems = _case_folders(layout)
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
            return tuple(_visible(path))
    return files_of(path)


def _with_dataset_json(source: Path) -> Layout:
    table = source / "dataset.json"
    if not table.is_file():
        raise FileNotFoundError(
            f"source: {source} holds imagesTr and labelsTr but no dataset.json, which says what "
            'images and labels mean, like {"modality": {"0": "CT"}, "labels": {"1": "liver"}}'
        )
    if {"channel_names", "file_ending"} & set(read_json(table)):
        return Layout("nnunet", source, table)
    labels = {_stem(path) for path in _volumes(source / "labelsTr")}
    for stem in (_stem(path) for path in _volumes(source / "imagesTr")):
        if stem not in labels and stem.endswith(CHANNEL) and stem[: -len(CHANNEL)] in labels:
            return Layout("nnunet", source, table)
    return Layout("decathlon", source, table)


def _paired(layout: Layout, which: str, group: str) -> tuple[list[Case], list[Problem]]:
    """Pair imagesTr with labelsTr, or imagesTs with labelsTs."""
    cases: list[Case] = []
    problems: list[Problem] = []
    labels: dict[str, Path] = {}
    for path in _volumes(layout.folder / f"labels{which}"):
        if labels.setdefault(_stem(path), path) != path:
            problems.append(Problem(_stem(path), str(path), "is a second label map of this name"))
    for image in _volumes(layout.folder / f"images{which}"):
        name, file = _stem(image), f"{image.parent.name}/{image.name}"
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
    volumes = _volumes(folder)
    others = sorted({p for p in folder.iterdir() if not p.name.startswith(".")} - {*volumes})
    others = [path for path in others if path.suffix.lower() not in _TEXTS]
    others = [path for path in others if path.name.lower() not in _OF_WINDOWS]
    voxels = {file for path in volumes for file in volume_files(path)} if others else set()
    cases = {_stem(path) for path in volumes}
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
    return 0 if not paired or (layout.folder / "labelsTs").is_dir() else len(_volumes(folder))


def _case_folders(layout: Layout) -> tuple[list[Case], list[Problem]]:
    cases: list[Case] = []
    problems: list[Problem] = []
    for folder in _folders(layout.folder):
        if (folder / "datalist.json").is_file():  # an earlier output
            continue
        try:
            images, labels = _named(folder, "image"), _named(folder, "label")
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            problems.append(Problem(folder.name, folder.name, reason))
            continue
        if len(images) == len(labels) == 1:
            cases.append(Case(folder.name, images[0], labels[0]))
            continue
        names = ", ".join(path.name for path in [*images, *labels]) or "neither"
        reason = f"must hold one image.* and one label.* of a known kind, it holds {names}"
        problems.append(Problem(folder.name, folder.name, reason))
    return cases, problems


def _csv_cases(layout: Layout) -> tuple[list[Case], list[Problem]]:
    assert layout.table is not None
    rows = rows_of(layout.table, COLUMNS, OPTIONAL_COLUMNS)
    names = _unique_names([_located(layout.folder, row["image"]) for row in rows.values()])
    cases: list[Case] = []
    problems: list[Problem] = []
    for (line, row), name in zip(rows.items(), names, strict=True):
        row_name = f"{layout.table.name} row {line}"
        empty = [column for column, cell in row.items() if not cell]
        group = row["split"].lower() if "split" in row else None
        group = _SHORT_NAMES.get(group or "", group)
        if empty:
            raise ValueError(f"{row_name}: {', '.join(empty)} must not be empty")
        if group is not None and group not in PARTITIONS:
            raise ValueError(
                f"{row_name}: split must be one of {', '.join(PARTITIONS)}, got {group!r}"
            )
        image, label = (layout.folder / _located(layout.folder, row[key]) for key in COLUMNS)
        missing = [str(path) for path in (image, label) if not os.path.exists(path)]
        if missing:
            problems.append(Problem(name, row_name, f"missing files: {', '.join(missing)}"))
        else:
            cases.append(Case(name, image, label, row.get("patient"), group))
    return cases, problems


def _located(folder: Path, cell: str) -> Path:
    """Return the path that a cell means: with another system's separators or form of accents."""
    from scripts.volumes.formats.stored_voxels import spellings  # slow import, not for the help

    home = os.path.expanduser(cell)
    for name in (*spellings(home), *spellings(home.replace("\\", "/"))):
        if (folder / name).exists():
            return Path(name)
    return Path(cell)


def rows_of(
    table: Path, columns: Sequence[str], optional: Sequence[str]
) -> dict[int, dict[str, str]]:
    """Return line -> cells of each row of a table of cases."""
    rows = {}
    for row in read_csv(table, columns, optional=optional):
        try:
            rows[row.line] = row.named()
        except ValueError as error:
            raise ValueError(f"{table} row {row.line}: {error}") from error
    return rows


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """Name each image by its file, with as many parent folders as make all names different."""
    for depth in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        names = ["_".join([*path.parts[-depth:-1], _stem(path)]).strip("/.") for path in paths]
        if len(set(names)) == len(set(paths)):  # one image in two rows is reported
            return names
    return [_stem(path) for path in paths]


def _stem(path: Path) -> str:
    """Return a file's name without the suffix of a volume file."""
    from scripts.volumes.volume_files import VOLUME_SUFFIXES  # slow import, not for the help

    known = (*VOLUME_SUFFIXES, ".seg.nrrd")  # 3D Slicer's of segmentations
    endings = [suffix for suffix in known if path.name.lower().endswith(suffix)]
    return path.name[: len(path.name) - len(max(endings, key=len, default=""))]


def _visible(folder: Path) -> list[Path]:
    """Return the files of a folder, without hidden ones such as macOS's ``._name``."""
    if not folder.is_dir():
        return []
    files = (p for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))
    return sorted(files)  # links to nothing too: they are reported when they are read


def _volumes(folder: Path) -> list[Path]:
    from scripts.volumes.volume_files import VOLUME_SUFFIXES  # slow import, not for the help

    return [path for path in _visible(folder) if path.name.lower().endswith(VOLUME_SUFFIXES)]


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _holds_image(folder: Path) -> bool:
    try:
        return bool(_named(folder, "image"))
    except OSError:  # reported with the cases
        return False


def _named(folder: Path, name: str) -> list[Path]:
    """Return the volumes ``name.*`` in the folder of a case, and the DICOM folder ``name``."""
    inner = [path for path in _folders(folder) if path.name.casefold() == name]
    return [path for path in _volumes(folder) if _stem(path).casefold() == name] + inner


def listed(names: Sequence[str]) -> str:
    """Join the first of some names for a message."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _holds(folder: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    return listed(names) or "nothing"
