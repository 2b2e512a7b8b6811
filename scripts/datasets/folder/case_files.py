"""Image and labels of one case: by their names, by what DICOM files refer to, or by an option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.running.reasons import listed

if TYPE_CHECKING:
    from scripts.datasets.segments.open_file import CaseFiles, Found


@dataclass(frozen=True)
class CasePaths:
    """Where image and labels of a case are.

    Args:
        image: a volume file, or a folder of DICOM files.
        label: a label map, or a file of named segments.
        series_uid: SeriesInstanceUID of the image, if the labels say which it is.
    """

    image: Path
    label: Path
    series_uid: str | None = None


def case_paths(
    folder: Path, images: Sequence[Path], labels: Sequence[Path], pattern: str | None
) -> CasePaths:
    """Find image and labels in the folder of a case.

    Args:
        folder: of the case.
        images: what is named image in it.
        labels: what is named label in it.
        pattern: of ``--label_files``; None to take the label, or else the only file of named
            segments anywhere below the folder.

    Raises:
        ValueError: for none or several images or labels, naming what is there.
    """
    if len(images) > 1:
        raise ValueError(_not_one([*images, *labels]))
    if len(images) == len(labels) == 1 and pattern is None and _is_plain(labels[0]):
        return CasePaths(images[0], labels[0])
    from scripts.datasets.segments.open_file import CaseFiles  # slow import, not for the help

    files = CaseFiles.below(folder, besides=[path for path in images if path.is_file()])
    label = _label_among(files, labels, pattern)
    if label is not None and (images or files.series):
        return _with_image(files, images, label)
    if len(images) == len(labels) == 1:  # a folder with masks as a DICOM series
        return CasePaths(images[0], labels[0])
    raise ValueError(_not_one([*images, *labels]))


def pair_paths(image: Path, label: Path) -> CasePaths:
    """Take an image and its labels that a table names: files, or folders of DICOM files.

    Raises:
        ValueError: for several files of named segments in the folder of the labels.
    """
    from scripts.datasets.segments.open_file import CaseFiles, open_segments

    if label.is_dir() and (found := CaseFiles.below(label).named_segments()):
        if len(found) > 1:
            raise ValueError(f"{label}: must have one file of labels, it has {listed(found)}")
        label = found[0].path
    if not image.is_dir() or label.is_dir() or _is_plain(label):
        return CasePaths(image, label)
    file = open_segments(label)
    uids = file.series_uids & CaseFiles.below(image).series.keys() if file else set()
    return CasePaths(image, label, next(iter(uids)) if len(uids) == 1 else None)


def _is_plain(label: Path) -> bool:
    """Whether a label is a volume file by its name, which needs no search of the folder."""
    from scripts.volumes.volume_files import VOLUME_SUFFIXES  # slow import, not for the help

    return label.is_file() and label.name.lower().endswith(VOLUME_SUFFIXES)


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder, without hidden ones such as macOS's ``._name``."""
    if not folder.is_dir():
        return []
    files = (p for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))
    return sorted(files)  # links to nothing too: they are reported when they are read


def volumes_in(folder: Path) -> list[Path]:
    """Return the volume files of a folder."""
    from scripts.volumes.volume_files import VOLUME_SUFFIXES  # slow import, not for the help

    return [path for path in visible_files(folder) if path.name.lower().endswith(VOLUME_SUFFIXES)]


def has_names(label: Path) -> bool:
    """Whether labels may name their segments: all but plain volume files and DICOM series."""
    if label.is_dir():
        return bool(volumes_in(label))
    from scripts.volumes.volume_files import SEGMENTATION_SUFFIX  # slow import, not for the help

    segmentation = label.name.lower().endswith(SEGMENTATION_SUFFIX)
    return segmentation or not _is_plain(label)


def _label_among(files: CaseFiles, named: Sequence[Path], pattern: str | None) -> Found | None:
    """Choose the labels of a case; None if there are none."""
    every = files.named_segments()
    if pattern is not None:
        chosen = [one for one in files.labels if one.fits(pattern)]
        if len(chosen) != 1:
            raise ValueError(
                f"--label_files {pattern} must fit one file of the case, it fits "
                f"{listed(chosen) or 'none'}; there are: {listed(files.labels) or 'none'}"
            )
        return chosen[0]
    if named:  # a folder label/, or a file label.dcm
        inside = [one for one in every if any(_lies_in(one.path, path) for path in named)]
        plain = [one for one in files.labels if one.path in named]
        every = [*inside, *(one for one in plain if one not in inside)]
    if len(every) > 1:
        raise ValueError(
            f"must have one file of labels, it has {listed(every)}; --label_files PATTERN chooses "
            "one by its path or title, or list each image with its labels in a CSV"
        )
    return every[0] if every else None


def _lies_in(path: Path, place: Path) -> bool:
    return path == place or place in path.parents


def _with_image(files: CaseFiles, images: Sequence[Path], label: Found) -> CasePaths:
    """Find the image that labels belong to: the one called image, or the series they refer to."""
    from scripts.datasets.segments.open_file import open_segments

    if images and images[0].is_file():
        return CasePaths(images[0], label.path)
    file = open_segments(label.path)
    inside = {
        uid: [folder for folder in folders if not images or folder == images[0]]
        for uid, folders in files.series.items()
    }
    series = {uid: folders for uid, folders in inside.items() if folders}
    if file is not None and file.dicom:
        fitting = sorted(file.series_uids & set(series))
    else:
        fitting = sorted(series)
    if not fitting and images:
        return CasePaths(images[0], label.path)  # refused when it is read, with the reason
    if len(fitting) != 1:
        drawn = f", which was drawn on {', '.join(sorted(file.series_uids))}" if file else ""
        raise ValueError(
            f"{label}{drawn}: must be of one CT series of the case, it has "
            f"{', '.join(sorted(series)) or 'none'}"
        )
    uid = fitting[0]
    if len(series[uid]) > 1:
        places = ", ".join(str(folder) for folder in series[uid])
        raise ValueError(f"CT series {uid}: must lie in one folder, it lies in {places}")
    return CasePaths(series[uid][0], label.path, uid)


def _not_one(found: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in found) or "neither"
    return (
        "must hold one image.* and one label.* of a known kind, or a CT with one DICOM SEG, "
        f"RTSTRUCT or .seg.nrrd, it holds {names}"
    )
