"""The annotation file of each series: LIDC XML by the uid inside, masks by their name."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

_UID = re.compile(rb"<SeriesInstanceU[iI][dD]>\s*([0-9.]+)\s*</")
_HEAD_BYTES = 1 << 14  # the response header is at the start of the file


def find_truth_files(label: str, folder: Path | None, uids: Collection[str]) -> dict[str, Path]:
    """Files for the given series; series without one are absent.

    Args:
        label: ``ball`` (needs no file), ``readers`` or ``masks``.
        folder: of LIDC XML files, searched with its subfolders, or of ``<uid>.nii.gz``.
        uids: the series.

    Raises:
        ValueError: when two XML files name one series, or none of the files belongs to any.
        FileNotFoundError: when the folder is not there.
    """
    if label == "ball":
        return {}
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(f"{label}: no folder {folder}")
    if label == "masks":
        files = {path.name.removesuffix(".nii.gz"): path for path in folder.glob("*.nii.gz")}
        return _some(files, uids, f"masks: {folder} must hold <uid>.nii.gz")
    known: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.xml")):
        uid = series_of(path)
        if uid in known and uid in uids:
            raise ValueError(
                f"readers_xml: series {uid} is named by two files, {known[uid]} and {path}; "
                f"keep the right one"
            )
        if uid:
            known[uid] = path
    return _some(known, uids, f"readers_xml: {folder} must hold LIDC XML files")


def _some(files: dict[str, Path], uids: Collection[str], rule: str) -> dict[str, Path]:
    known = {uid: path for uid, path in files.items() if uid in uids}
    if not known:
        raise ValueError(
            f"{rule} of the {len(uids)} scans of the source; it holds files of "
            f"{len(files)} series, none of them theirs"
        )
    return known


def series_of(path: Path) -> str:
    """Series uid that an LIDC XML names; empty when it names none (chest films do not)."""
    with path.open("rb") as file:
        match = _UID.search(file.read(_HEAD_BYTES))
    return match[1].decode("ascii") if match else ""
