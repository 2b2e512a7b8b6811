"""The CT of a case with its labels on one grid: a label map, or segments by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.folder.mask_files import MaskFolder
from scripts.datasets.instance_maps import read_map
from scripts.datasets.segments.label_values import paint
from scripts.datasets.segments.open_file import open_segments
from scripts.datasets.segments.segment_file import CtGrid, Segment, SegmentFile
from scripts.datasets.segments.segment_names import Chosen, choose
from scripts.running.reasons import listed
from scripts.volumes.dicom.pixels import read_volume_of
from scripts.volumes.dicom.quantity import notes_on
from scripts.volumes.dicom.series_volume import read_series
from scripts.volumes.geometry import Floats, affine_of
from scripts.volumes.readers import read_volume
from scripts.volumes.volume import Volume, turned

MOST_VALUES = 255
_NUMBERED = r"(segment|label)?[\s_]*\d+"  # names that programs give


@dataclass(frozen=True)
class NameRules:
    """Which segments become which label values.

    Args:
        classes: label value -> class name, without the background.
        named: class -> names of its segments, of the option ``--segments``.
        lesions: several segments may be of one class: lesions of one kind.
        each: each segment is a value of its own, numbered in the order of the file.
        last_wins: voxels in segments of two values get the higher one, instead of being refused.
    """

    classes: Mapping[int, str]
    named: Mapping[str, Sequence[str]]
    lesions: bool = False
    each: bool = False
    last_wins: bool = False

    def chosen(self, file: SegmentFile) -> Chosen | None:
        """Return the segments of a file that are classes.

        Returns:
            None for a 3D Slicer segmentation without any: its values are the classes, as in other
            label maps. Of several classes that holds only for segments with mere numbers as names,
            as other names may contradict the values.

        Raises:
            ValueError: for another file without any, naming its segments; see
                :func:`~scripts.datasets.segments.segment_names.choose`.
        """
        chosen = choose(file, list(self.classes.values()), self.named, join=self.lesions)
        if chosen.segments:
            return chosen
        numbered = all(re.fullmatch(_NUMBERED, s.name.strip(), re.I) for s in file.segments)
        if not file.dicom and not self.named and (len(self.classes) == 1 or numbered):
            return None
        names = ", ".join(self.classes.values())
        raise ValueError(
            f"{file}: none of its segments is of the classes {names}; it has {file.listing()}; "
            f'say which are meant: --segments "{next(iter(self.classes.values()))}=NAME"'
        )


@dataclass(frozen=True)
class CtWithLabel:
    """A CT and its label map in LPS order.

    Args:
        volume: the CT.
        label: uint8 (Z, Y, X).
        file_affine: (4, 4), index to LPS mm of the CT as stored.
        known: label values that the file has, background included; None if it is a label map.
        notes: on the CT, and rules that were applied.
    """

    volume: Volume
    label: NDArray[np.uint8]
    file_affine: Floats
    known: tuple[int, ...] | None
    notes: tuple[str, ...]


def open_named(label: Path, rules: NameRules) -> tuple[SegmentFile, Chosen] | None:
    """Open a file of named segments and choose those that are classes; None for a label map.

    Raises:
        ValueError, OSError: see :func:`~scripts.datasets.segments.open_file.open_segments` and
            :meth:`NameRules.chosen`.
    """
    file = MaskFolder.read(label) if label.is_dir() else open_segments(label)
    chosen = None if file is None else rules.chosen(file)
    return None if file is None or chosen is None else (file, chosen)


def read_label(
    image: Path,
    label: Path,
    series_uid: str | None,
    rules: NameRules,
    missing: Mapping[str, Sequence[str]] | None = None,
) -> CtWithLabel:
    """Read a CT and its labels.

    Args:
        image: a volume file or a folder of DICOM files.
        label: a label map, which must have the CT's grid, a file of named segments, or a folder of
            masks.
        series_uid: SeriesInstanceUID of the image in a folder of several series.
        rules: which segments become which label values.
        missing: class -> segments that the case lacks although others have them beside its own: the
            class is not annotated if they are masks; of other files that is noted only.

    Raises:
        ValueError, OSError: naming the file and the reason.
    """
    opened = open_named(label, rules)
    volume, ct, notes = _read_ct(image, series_uid)
    known = None
    if opened is None:
        in_lps = read_map(label, volume, image.name)
        notes = (*notes, *_read_by_value(label))
    else:
        file, chosen = opened[0], _whole(*opened, missing or {})
        painted, rules_applied = paint(
            file, _values(file, chosen, rules), ct, last_wins=rules.last_wins
        )
        known = _known(file, chosen, rules, painted)
        notes = (*notes, *rules_applied, *_remarks(file, chosen, rules, known, painted))
        notes = (*notes, *_lacks(file, missing or {}))
        in_lps = turned(painted, volume.affine_lps)
    affine = affine_of(volume.to_image())
    return CtWithLabel(volume.in_lps(), in_lps, affine, known, notes)


def _whole(file: SegmentFile, chosen: Chosen, missing: Mapping[str, Sequence[str]]) -> Chosen:
    """Leave out the classes of which a mask is missing: its voxels would count as background."""
    if not isinstance(file, MaskFolder):
        return chosen
    segments = {name: own for name, own in chosen.segments.items() if name not in missing}
    if not segments:
        raise ValueError(f"{file}: shows no class whole: {'; '.join(_lacks(file, missing))}")
    return replace(chosen, segments=segments)


def _lacks(file: SegmentFile, missing: Mapping[str, Sequence[str]]) -> list[str]:
    rule = "counts as background"
    if isinstance(file, MaskFolder):
        rule = "an empty mask would say that it is absent"
    return [
        f"{file.path.name}: {name} lacks {', '.join(segments)}, which other cases have; {rule}"
        for name, segments in missing.items()
    ]


def _read_by_value(label: Path) -> tuple[str, ...]:
    """Say that a file with names was read like a label map without."""
    file = open_segments(label)
    if file is None:
        return ()
    names = ", ".join(repr(segment.name) for segment in file.segments)
    return (f"{label.name}: none of its segments ({names}) is named like a class; read by values",)


def _read_ct(image: Path, series_uid: str | None) -> tuple[Volume, CtGrid, tuple[str, ...]]:
    """Read a CT with its grid, and what the reader of the results should know about it."""
    if not image.is_dir():
        volume = read_volume(image)
        z, y, x = volume.hu.shape
        return volume, CtGrid(image.name, (z, y, x), volume.affine_lps), ()
    series = read_series(image, series_uid=series_uid)
    volume = read_volume_of(series)
    return volume, CtGrid.of_series(series), (*volume.notes, *notes_on(series.slices))


def _known(
    file: SegmentFile, chosen: Chosen, rules: NameRules, label: NDArray[np.uint8]
) -> tuple[int, ...]:
    """Return the classes that a file has.

    An organ without voxels was not drawn yet, where people list structures first and then draw.
    """
    known = [value for value, name in rules.classes.items() if name in chosen.segments]
    if not file.empty_is_absent and not rules.lesions:
        known = [value for value in known if (label == value).any()]
    if not known:
        raise ValueError(f"{file}: nothing of {', '.join(rules.classes.values())} is drawn")
    return (0, *known)


def _values(file: SegmentFile, chosen: Chosen, rules: NameRules) -> dict[int, tuple[Segment, ...]]:
    """Return label value -> segments."""
    if not rules.each:
        of_name = {name: value for value, name in rules.classes.items()}
        return {of_name[name]: segments for name, segments in chosen.segments.items()}
    lesions = [segment for segments in chosen.segments.values() for segment in segments]
    if len(lesions) > MOST_VALUES:
        raise ValueError(f"{file}: at most {MOST_VALUES} lesions in one scan, got {len(lesions)}")
    return {number: (segment,) for number, segment in enumerate(lesions, start=1)}


def _remarks(
    file: SegmentFile,
    chosen: Chosen,
    rules: NameRules,
    known: Sequence[int],
    label: NDArray[np.uint8],
) -> list[str]:
    """Say what was left out, and which classes are not known in this case, or absent."""
    notes = []
    if chosen.left_out:
        names = listed([repr(segment.name) for segment in chosen.left_out])
        notes.append(f"{file.path.name}: segments of no class: {names}")
    if lacking := [name for value, name in rules.classes.items() if value not in known]:
        notes.append(f"{file.path.name}: not annotated: {', '.join(lacking)}")
    empty = () if rules.lesions else (value for value in known if not (label == value).any())
    if absent := [rules.classes[value] for value in empty if value]:
        notes.append(f"{file.path.name}: no voxel of {', '.join(absent)}, which count as absent")
    return notes
