"""Which file holds the truth of which series: LIDC XML by the uid inside, masks by their name."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from scripts.preparation.options import LabelOptions

_UID = re.compile(rb"<SeriesInstanceU[iI][dD]>\s*([0-9.]+)\s*</")
_HEAD_BYTES = 1 << 14  # the response header stands at the start of the file


def find_truth_files(labels: LabelOptions, uids: Collection[str]) -> dict[str, Path]:
    """Files for the given series; series without one are absent.

    Raises:
        ValueError: when two XML files name one series, or none of the files belongs to any.
    """
    if labels.kind == "ball":
        return {}
    if labels.kind == "masks" and labels.masks is not None:
        files = {path.name.removesuffix(".nii.gz"): path for path in labels.masks.glob("*.nii.gz")}
        return _some(files, uids, f"masks: {labels.masks} must hold <uid>.nii.gz")
    if labels.readers_xml is None:
        raise ValueError("readers_xml: must name a folder for --label readers, got nothing")
    found: dict[str, Path] = {}
    for path in sorted(labels.readers_xml.rglob("*.xml")):
        uid = series_of(path)
        if uid in found and uid in uids:
            raise ValueError(
                f"readers_xml: series {uid} is named by two files, {found[uid]} and {path}; "
                f"keep the right one"
            )
        if uid:
            found[uid] = path
    return _some(found, uids, f"readers_xml: {labels.readers_xml} must hold LIDC XML files")


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
