"""Reading of one study: each file once, for the hash of its content and for its pixels.

It needs neither torch nor MONAI, so that a process that starts in no time reads the next study.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.prediction.sources.ct_sources import LIMITS
from scripts.prediction.sources.source_access import SourceAccess, open_source, read_content
from scripts.prediction.stopwatch import Stopwatch
from scripts.prediction.study_task import KEPT, Outcome, Task, failed
from scripts.prediction.writing.manifest import is_finished, mark_of, read_manifest
from scripts.volumes.dicom.pixels import read_volume_of
from scripts.volumes.dicom.series_volume import Series
from scripts.volumes.dicom.slice import SliceFile
from scripts.volumes.volume import Volume
from scripts.volumes.volume_files import read_volume_file


@dataclass(frozen=True)
class ReadStudy:
    """A CT that was read.

    Attributes:
        content: its series, or the path of its volume file.
        volume: its voxels.
        access: its names, for errors.
        digest: hash of its content.
        seconds: of the command's start and of the step read.
    """

    content: Path | Series
    volume: Volume
    access: SourceAccess
    digest: str
    seconds: Mapping[str, float] = field(default_factory=dict)


def read_study(task: Task, settings: Sequence[Mapping[str, Any]]) -> ReadStudy | Outcome:
    """Read one study, unless an earlier run has predicted it.

    Args:
        task: the study.
        settings: of results that are kept, see
            :func:`scripts.prediction.writing.manifest.acceptable_identities`.

    Returns:
        The study; or its outcome, if it is kept or cannot be read.
    """
    begun, watch = time.perf_counter(), Stopwatch(task.seconds)
    ready: SourceAccess | None = None
    try:
        with watch.step("read"):
            digest, contents = read_content(task.source)
            if is_finished(task.folder, [mark_of(each, digest) for each in settings]):
                return _kept(task, time.perf_counter() - begun)
            with open_source(task.source, contents=contents) as ready:
                study = read_opened(ready, digest, resample=task.options.geometry == "resample")
    except Exception as error:  # an error in one CT must not stop the others
        return failed(task, ready, error, time.perf_counter() - begun)
    return replace(study, seconds=watch.seconds)


def read_opened(ready: SourceAccess, digest: str, *, resample: bool = False) -> ReadStudy:
    """Read a source that is ready to be read.

    Args:
        ready: the source.
        digest: hash of its content.
        resample: accept slices that form no regular grid.

    Raises:
        ValueError, OSError: for a CT that is refused or cannot be read.
    """
    content = ready.read(resample=resample)
    volume = read_voxels(content)
    if isinstance(content, Series):
        content = replace(content, slices=_without_content(content.slices))
    return ReadStudy(content, volume, replace(ready, content=()), digest)


def read_voxels(content: Path | Series) -> Volume:
    """Read the voxels of a volume file or of a series.

    Raises:
        ValueError, OSError: for a file that cannot be read, naming it.
    """
    if isinstance(content, Path):
        return read_volume_file(content)
    return read_volume_of(content, limits=LIMITS)


def _without_content(slices: Sequence[SliceFile]) -> tuple[SliceFile, ...]:
    """Release the files; the frames of one file go on sharing its header."""
    files: dict[int, SliceFile] = {}
    released = []
    for each in slices:
        whole = each.frame_of
        if whole is not None:
            whole = files.setdefault(id(whole), replace(whole, content=None))
        released.append(replace(each, content=None, frame_of=whole))
    return tuple(released)


def _kept(task: Task, seconds: float) -> Outcome:
    manifest = read_manifest(task.folder) or {}
    return Outcome(
        task.source.name,
        KEPT,
        round(seconds, 2),
        warnings=tuple(manifest.get("warnings", ())),
        segments=len(manifest.get("segments", ())),
    )
