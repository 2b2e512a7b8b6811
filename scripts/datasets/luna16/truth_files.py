"""Search for the annotation file of each series: LIDC XML by its series uid, masks by file name."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

_UID = re.compile(rb"<SeriesInstanceU[iI][dD]>\s*([0-9.]+)\s*</")
_HEAD_BYTES = 1 << 14  # the response header is at the start of the file


def find_truth_files(label: str, folder: Path | None, uids: Collection[str]) -> dict[str, Path]:
    """Return the annotation file of each of the given series that has one.

    Args:
        label: ``ball`` (needs no file), ``readers`` or ``masks``.
        folder: folder of LIDC XML files, searched with its subfolders, or of ``<uid>.nii.gz``.
        uids: the series.

    Raises:
        ValueError: for two XML files of one series, or a folder without a file of these series.
        FileNotFoundError: when the folder does not exist.
    """
    if label == "ball":
        return {}
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(f"{label}: must be an existing folder, got {folder}")
    if label == "masks":
        files = {path.name.removesuffix(".nii.gz"): path for path in folder.glob("*.nii.gz")}
        return _of_series(files, uids, f"masks: {folder} must hold <uid>.nii.gz")
    known: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.xml")):
        uid = series_of(path)
        if uid in known and uid in uids:
            raise ValueError(
                f"readers_xml: series {uid} has two files, {known[uid]} and {path}; "
                f"keep the right one"
            )
        if uid:
            known[uid] = path
    return _of_series(known, uids, f"readers_xml: {folder} must hold LIDC XML files")


def _of_series(files: dict[str, Path], uids: Collection[str], rule: str) -> dict[str, Path]:
    """Return the files of the given series; refuse a folder that has none."""
    known = {uid: path for uid, path in files.items() if uid in uids}
    if not known:
        raise ValueError(
            f"{rule} of the {len(uids)} scans of the source; it holds files of "
            f"{len(files)} series, none of them theirs"
        )
    return known


def series_of(path: Path) -> str:
    """Return the series uid in an LIDC XML; empty if it has none, as for chest radiographs."""
    with path.open("rb") as file:
        match = _UID.search(file.read(_HEAD_BYTES))
    return match[1].decode("ascii") if match else ""
