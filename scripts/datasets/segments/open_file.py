"""Files of named segments by their content, and those that lie in the folder of a case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from scripts.datasets.segments.dicom_object import RTSTRUCT, SEG, kind_of, quiet, title_of
from scripts.datasets.segments.seg import SegFile
from scripts.datasets.segments.segment_file import SegmentFile
from scripts.datasets.segments.slicer import SlicerFile
from scripts.datasets.segments.structure_set import StructureSetFile
from scripts.storage.archive import is_stray
from scripts.volumes.dicom.kind import modality_of
from scripts.volumes.dicom.stream import HEAD, is_dicom
from scripts.volumes.volume_files import SEGMENTATION_SUFFIX, VOLUME_SUFFIXES

MOST_LOOKED_AT = 5000  # files of a case
_GLANCE = (
    *("SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesDescription"),
    *("StructureSetLabel", "ContentLabel"),
)


def open_segments(path: Path) -> SegmentFile | None:
    """Read the header of a file of named segments.

    Args:
        path: a file.

    Returns:
        None for a volume file without names: a label map of values.

    Raises:
        ValueError, OSError: naming a file that is damaged, or a DICOM object of another kind.
    """
    if path.name.lower().endswith(SEGMENTATION_SUFFIX):
        return SlicerFile.read(path)
    if path.is_dir() or path.name.lower().endswith(VOLUME_SUFFIXES):
        return None
    header = glance(path)
    if header is None:
        raise ValueError(
            f"{path}: must be a label map ({', '.join(VOLUME_SUFFIXES)}), DICOM SEG, RTSTRUCT or "
            f"{SEGMENTATION_SUFFIX}"
        )
    kind = kind_of(header)
    if not kind:
        raise ValueError(
            f"{path}: is a DICOM object of modality {header.get('Modality') or 'none'}, labels "
            "must be SEG or RTSTRUCT"
        )
    with quiet():
        return SegFile.read(path) if kind == SEG else StructureSetFile.read(path)


def glance(path: Path) -> Dataset | None:
    """Read what a DICOM file is, and nothing else; None for another file.

    A file that cannot be read counts as another; it is reported when it is read whole.
    """
    with suppress(Exception), path.open("rb") as file, quiet():
        head = file.read(HEAD)
        file.seek(0)
        if is_dicom(head):
            header = pydicom.dcmread(
                file, stop_before_pixels=True, force=True, specific_tags=list(_GLANCE)
            )
            header.decode()
            return header
    return None


def holds_segments(folder: Path) -> bool:
    """Whether a file of named segments lies anywhere below a folder.

    Of a folder of many files only the first ones are looked at.
    """
    for path in islice((path for path in folder.rglob("*") if path.is_file()), MOST_LOOKED_AT):
        if path.name.lower().endswith(SEGMENTATION_SUFFIX):
            return True
        if not path.name.lower().endswith(VOLUME_SUFFIXES):
            header = glance(path)
            if header is not None and kind_of(header):
                return True
    return False


@dataclass(frozen=True)
class Found:
    """A file of labels in the folder of a case.

    Args:
        path: the file.
        where: its path in the folder.
        kind: what it is.
        title: how it calls itself.
    """

    path: Path
    where: str
    kind: str
    title: str = ""

    def __str__(self) -> str:
        """One entry of a list in a message."""
        return f"{self.where} ({self.kind}{f' {self.title!r}' if self.title else ''})"

    def fits(self, pattern: str) -> bool:
        """Whether a pattern of ``--label_files`` means this file: its path, name or title."""
        texts = (self.where, self.path.name, self.title)
        return any(fnmatchcase(text.casefold(), pattern.casefold()) for text in texts if text)


@dataclass(frozen=True)
class CaseFiles:
    """The files in the folder of a case that may be labels, and its CT series.

    Args:
        labels: SEG, RTSTRUCT and volume files, the image excepted.
        series: SeriesInstanceUID -> folders with its CT slices.
    """

    labels: Sequence[Found]
    series: dict[str, tuple[Path, ...]]

    @classmethod
    def below(cls, folder: Path, *, besides: Iterable[Path] = ()) -> CaseFiles:
        """Look through a folder and all folders in it.

        Args:
            folder: of the case.
            besides: volume files that are the image.
        """
        labels: list[Found] = []
        series: dict[str, set[Path]] = defaultdict(set)
        images = set(besides)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            relative = path.relative_to(folder)
            if is_stray(relative.parts) or path in images:
                continue
            if path.name.lower().endswith(VOLUME_SUFFIXES):
                slicer = path.name.lower().endswith(SEGMENTATION_SUFFIX)
                kind = SlicerFile.kind if slicer else "label map"
                labels.append(Found(path, relative.as_posix(), kind))
            elif (header := glance(path)) is not None:
                if kind := kind_of(header):
                    labels.append(Found(path, relative.as_posix(), kind, title_of(header)))
                elif modality_of(header) == "CT":
                    series[str(header.get("SeriesInstanceUID") or "")].add(path.parent)
        return cls(labels, {uid: tuple(sorted(folders)) for uid, folders in series.items()})

    def named_segments(self) -> list[Found]:
        """Return the files of named segments, without plain label maps."""
        return [one for one in self.labels if one.kind in (SEG, RTSTRUCT, SlicerFile.kind)]
