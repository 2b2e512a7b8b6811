"""What was found at a path: CTs to predict, and every other file with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from scripts.storage.archive import File, Location
from scripts.volumes.dicom.slice import SliceFile

DICOM_SERIES, VOLUME_FILE = "DICOM series", "volume file"


@dataclass(frozen=True)
class Source:
    """One CT to predict.

    Attributes:
        name: name of its results, without patient data of the headers.
        kind: :data:`DICOM_SERIES` or :data:`VOLUME_FILE`.
        location: path and size, for the screen; never written to a file.
        files: of a series the slices, unordered; of a volume the file, then its separate voxel
            files.
        notes: warnings for the manifest.
        slices: the headers of ``files``; empty if they were too many to keep.
        left_out: reason -> number of files in the same folders that are not part of it.
        contents: files that were unpacked to read their headers; taken out by the first reader.
    """

    name: str
    kind: str
    location: str
    files: tuple[File, ...]
    notes: tuple[str, ...] = ()
    slices: tuple[SliceFile, ...] = field(default=(), repr=False, compare=False)
    left_out: Mapping[str, int] = field(default_factory=dict, compare=False)
    contents: dict[Location, bytes] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Remark:
    """A file or folder that is not predicted.

    Attributes:
        location: its path, for the screen; never written to a file.
        reason: why, without file names.
        message: line for the screen, if there is more to report than location and reason.
    """

    location: str
    reason: str
    message: str = ""

    def __str__(self) -> str:
        """One line for the screen."""
        return self.message or f"{self.location}: {self.reason}"

    @property
    def folder(self) -> str:
        """The folder, or the zip, that it is in."""
        return self.location.rpartition("/")[0]


@dataclass
class Inventory:
    """Contents of a path: every file is in a source, skipped for a reason, or refused.

    Attributes:
        sources: the CTs.
        skipped: files that are no part of a CT, such as localisers and texts.
        refused: files that may be part of a CT and cannot be read.
    """

    sources: list[Source] = field(default_factory=list)
    skipped: list[Remark] = field(default_factory=list)
    refused: list[Remark] = field(default_factory=list)

    def left_out_of(self, folders: set[str]) -> dict[str, int]:
        """Count what was skipped and refused in some folders, by reason."""
        remarks = [*self.skipped, *self.refused]
        return dict(Counter(r.reason for r in remarks if r.folder in folders))
