"""A DICOM CT series: its slices sorted by position, and the checks that make the order certain.

Order and geometry come from ImagePositionPatient and ImageOrientationPatient alone (DICOM PS3.3,
C.7.6.2.1.1), never from file names or InstanceNumber, which run against the positions in many
archives.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from scripts.running.reasons import listed
from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.frames import frames_of
from scripts.volumes.dicom.kind import is_multi_frame, why_not_dicom, why_not_slice
from scripts.volumes.dicom.quantity import check_quantity
from scripts.volumes.dicom.slice import NEEDED, SliceFile, read_slice
from scripts.volumes.geometry import IrregularGridError
from scripts.volumes.resampling import SliceStack, regular_grid
from scripts.volumes.slice_stack import Floats, SamePlaceError, order_of, stack_affine

_SAME = 1.01e-4  # headers of one series may differ by so much in spacing (mm) and cosines
_HEAD = 512  # bytes that show what a file is that is not DICOM
_NAMED = 5  # files named in an error


@dataclass(frozen=True)
class Series:
    """The slices of one volume, ascending along their normal.

    Args:
        place: the folder, for errors.
        slices: one for each k.
        affine_lps: (4, 4), 0-based index (i, j, k) to LPS mm.
        stack: positions of the slices, if they form no regular grid; ``affine_lps`` is then that
            of the grid to which their pixels are resampled.
    """

    place: str
    slices: tuple[SliceFile, ...]
    affine_lps: Floats
    stack: SliceStack | None = None

    @classmethod
    def of(cls, slices: Sequence[SliceFile], place: str, *, resample: bool = False) -> Series:
        """Sort the slices of one series, all with a position, along their normal.

        Args:
            slices: in any order.
            place: the folder, for errors.
            resample: accept missing, unevenly spaced and tilted slices, as a :attr:`stack`.

        Raises:
            ValueError: naming folder and files: see :func:`check_images`; slices of different
                pixel spacing; missing, duplicate, unevenly spaced or tilted slices.
        """
        check_images(slices, place)
        check_alike(slices, "PixelSpacing", place)
        _check_one_patient(slices, place)
        first = slices[0]
        positions = [each.required("ImagePositionPatient") for each in slices]
        orientation = first.required("ImageOrientationPatient")
        try:
            order, _ = order_of(positions, orientation)
            ordered = [slices[i] for i in order]
            affine = stack_affine(
                [positions[i] for i in order],
                orientation,
                first.required("PixelSpacing"),
                names=_short_places(ordered),
            )
        except IrregularGridError as error:
            if not resample:
                raise IrregularGridError(f"{place}: {error}") from error
            return cls._resampled(ordered, place)
        except SamePlaceError as error:
            pair = (ordered[error.index], ordered[error.index + 1])
            raise ValueError(f"{place}: {error} {_acquisitions(*pair)}") from error
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        return cls(place, tuple(ordered), affine)

    @classmethod
    def _resampled(cls, ordered: Sequence[SliceFile], place: str) -> Series:
        """Take ascending slices that form no regular grid, to be resampled to one."""
        first = ordered[0]
        between_rows, between_columns = first.required("PixelSpacing")
        stack = SliceStack(
            np.array([each.required("ImagePositionPatient") for each in ordered]),
            np.array(first.required("ImageOrientationPatient")).reshape(2, 3),
            (between_columns, between_rows),
            first.shape,
        )
        try:
            return cls(place, tuple(ordered), regular_grid(stack).affine_lps, stack)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error

    @classmethod
    def of_ct(cls, slices: Sequence[SliceFile], place: str, *, resample: bool = False) -> Series:
        """Sort the slices of one CT series whose stored values can be converted to HU.

        Each slice is converted by its own factors (DICOM PS3.3, C.11.1); the frames of a
        multi-frame file are its slices.

        Raises:
            ValueError: see :meth:`of`; for missing elements of
                :data:`~scripts.volumes.dicom.slice.NEEDED`; for values that are no HU by their
                header.
        """
        slices = [frame for each in slices for frame in frames_of(each)]
        for each in slices:
            _check_image(each)
            check_quantity(each)
        for keyword, harm in NEEDED.items():
            if lacking := [each for each in slices if each.header.get(keyword) is None]:
                named = _names(lacking)
                raise ValueError(f"{place}: {keyword} is missing in {named}; without it {harm}")
        return cls.of(slices, place, resample=resample)


def list_series(folder: Path) -> dict[str, list[SliceFile]]:
    """Return the CT slices directly in a folder, by SeriesInstanceUID.

    Raises:
        ValueError: for a folder without CT slices, listing what it holds; for a damaged file, or
            one that may have been a slice.
        OSError: for a file that cannot be read.
    """
    series: dict[str, list[SliceFile]] = defaultdict(list)
    others: Counter[str] = Counter()
    unread: dict[Path, bytes] = {}
    with ArchiveReader() as reader:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            each = read_slice(reader, Location(path))
            if each is None:
                unread[path] = reader.head(Location(path), _HEAD)
            elif reason := why_not_slice(each):
                others[reason] += 1
            else:
                series[str(each.header.get("SeriesInstanceUID", ""))].append(each)
    for path, head in unread.items():
        reason, suspect = why_not_dicom((path.name,), head, among_slices=bool(series))
        if suspect:
            raise ValueError(f"{Location(path)}: {reason}; remove it, or copy it again")
    if not series:
        listed = ", ".join(f"{n} files ({reason})" for reason, n in others.items())
        folders = sum(path.is_dir() for path in folder.iterdir())
        raise ValueError(
            f"{folder}: no DICOM CT files directly in this folder; it holds "
            f"{listed or 'no DICOM files'} and {folders} folders"
        )
    return dict(series)


def patient_in(folder: Path) -> str:
    """Return the PatientID of the first DICOM image directly in a folder; empty if unknown.

    Files that cannot be read are passed over: they are reported when the series is read.
    """
    with ArchiveReader() as reader:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            with suppress(ValueError, OSError):
                each = read_slice(reader, Location(path))
                if each is not None and not why_not_slice(each):
                    return str(each.header.get("PatientID") or "").strip()
    return ""


def read_series(folder: str | Path, *, series_uid: str | None = None) -> Series:
    """Read the headers of the CT series directly in a folder.

    Args:
        folder: DICOM files of any name; other files and modalities are skipped.
        series_uid: SeriesInstanceUID; required if the folder holds several CT series.

    Raises:
        ValueError: naming folder and files: no CT, several series, no series of this UID, or one
            that :meth:`Series.of_ct` refuses.
    """
    place = Path(folder)
    series = list_series(place)
    listing = "".join(f"\n  {uid}: {len(files)} files" for uid, files in sorted(series.items()))
    if series_uid is None and len(series) > 1:
        raise ValueError(
            f"{place}: holds {len(series)} CT series; give series_uid, one of:{listing}"
        )
    uid = next(iter(series)) if series_uid is None else series_uid
    if uid not in series:
        raise ValueError(f"{place}: series_uid {series_uid} is not among its series:{listing}")
    return Series.of_ct(series[uid], str(place))


# --- rules ----------------------------------------------------------------------------------------


def check_images(slices: Sequence[SliceFile], place: str) -> None:
    """Refuse files that are not complete greyscale images of one size and orientation.

    Raises:
        ValueError: naming the file: several frames without positions, colour or inverted images, no
            pixels or fewer than the header states; naming the files that differ from the majority.
    """
    for each in slices:
        _check_image(each)
    for keyword in ("Rows", "Columns", "ImageOrientationPatient"):
        check_alike(slices, keyword, place)
    if damaged := [each for each in slices if each.pixels.damage]:
        raise ValueError(f"{damaged[0].place}: {damaged[0].pixels.damage}{_also(damaged[1:])}")


def _check_image(each: SliceFile) -> None:
    if not each.frame and is_multi_frame(each.header):
        frames = each.header.get("NumberOfFrames") or "several"
        raise ValueError(
            f"{each.place}: has {frames} frames in one file, and no functional groups that say "
            "where each lies; export it as a classic CT series, one file for each slice"
        )
    for keyword in ("Rows", "Columns"):
        if each.header.get(keyword) is None:
            raise ValueError(f"{each.place}: holds no image: {keyword} missing")
    for keyword, wanted in (
        ("SamplesPerPixel", 1),
        ("PhotometricInterpretation", "MONOCHROME2"),
    ):
        value = each.header.get(keyword)
        if value not in (None, "", wanted):
            raise ValueError(
                f"{each.place}: {keyword} must be {wanted} (one greyscale slice per file), "
                f"got {value}"
            )


def check_alike(
    slices: Sequence[SliceFile],
    what: str,
    place: str,
    value: Callable[[SliceFile], object] | None = None,
) -> None:
    """Refuse slices that differ in a value that must be the same in all.

    Args:
        slices: at least one.
        what: keyword of a numeric element, whose values may differ by :data:`_SAME`; or the name
            of the property that ``value`` returns.
        place: the folder, for errors.
        value: returns the property to compare instead of an element; hashable.

    Raises:
        ValueError: naming the files that differ from the majority.
    """
    groups: dict[object, list[SliceFile]] = defaultdict(list)
    for each in slices:
        own = each.numbers(what) if value is None else value(each)
        groups[next((key for key in groups if _same(key, own)), own)].append(each)
    if len(groups) > 1:
        usual = max(groups, key=lambda key: len(groups[key]))
        odd = [f"{_shown(k)} in {_names(files)}" for k, files in groups.items() if k != usual]
        raise ValueError(
            f"{place}: {what} must be the same in every slice: {_shown(usual)} in most, but "
            f"{'; '.join(odd)}"
        )


def _same(one: object, other: object) -> bool:
    """Whether two values are equal; numbers within the tolerance, which no rounding edge cuts."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return all(abs(a - b) <= _SAME for a, b in zip(one, other, strict=True))
    return one == other


def _check_one_patient(slices: Sequence[SliceFile], place: str) -> None:
    """Refuse slices of several patients, without quoting who they are."""
    groups: dict[str, list[SliceFile]] = defaultdict(list)
    for each in slices:
        groups[str(each.header.get("PatientID") or "")].append(each)
    if len(groups) > 1:
        fewest = min(groups.values(), key=len)
        raise ValueError(
            f"{place}: PatientID must be the same in every slice, got {len(groups)}: that of "
            f"{_names(fewest)} differs; predict the patients from separate folders"
        )


def _acquisitions(one: SliceFile, other: SliceFile) -> str:
    """Say of which acquisitions two slices in one place are."""
    if one.frame:
        same = one.location == other.location
        remedy = (
            "export one of its volumes alone" if same else "predict each of the two files alone"
        )
        return f"(frames of {'one file' if same else 'two files'}; {remedy})"
    acquisitions = []
    for each in (one, other):
        number, time = (each.header.get(k) for k in ("AcquisitionNumber", "AcquisitionTime"))
        acquisitions.append(
            f"AcquisitionNumber {number or 'unknown'}, AcquisitionTime {time or 'unknown'}"
        )
    return (
        f"({acquisitions[0]}; {acquisitions[1]}; if the series holds two acquisitions, no element "
        "of the headers separates them into even stacks)"
    )


def _shown(value: object) -> str:
    """Format a value of :func:`check_alike` for an error."""
    if isinstance(value, tuple):
        return ", ".join(f"{number:g}" for number in value)
    return "none" if value is None else str(value)


def _also(slices: Sequence[SliceFile]) -> str:
    """Name further files with the same fault."""
    return f" (likewise {_names(slices)})" if slices else ""


def _short_places(slices: Sequence[SliceFile]) -> list[str]:
    """Return the paths of slices below the folder that all of them are in."""
    places = [PurePosixPath(each.place.replace("\\", "/")) for each in slices]
    shared = set.intersection(*(set(place.parents) for place in places))
    folder = max(shared, key=lambda one: len(one.parts))
    return [str(place.relative_to(folder)) for place in places]


def _names(slices: Iterable[SliceFile]) -> str:
    """Name the first few files of a list."""
    return listed(_short_places(list(slices)), most=_NAMED)
