"""Names that ``predict`` gives the studies it reads, and whose scan a name is.

Results never hold a path, which may contain a patient's name: a DICOM series is named after its
UID, a volume file after its own name, with a hash of its path where several files share that.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scripts.datasets.candidates import Candidate

HEX = 8  # digits of a hash of a path
_HASHED = re.compile(rf"(.+)-([0-9a-f]{{{HEX}}})")


def study_name(series_uid: str) -> str:
    """Return the name of a DICOM series.

    Example:
        >>> study_name("1.2.3")
        'ct-c47f5b18b8a4'
    """
    return f"ct-{_hash(series_uid)[:12]}"


def file_study_name(file: str) -> str:
    """Return the name of a volume file: its stem, reduced to letters, digits and ``._-``.

    Example:
        >>> file_study_name("P 2.nii.gz")
        'P-2'
    """
    stem = file[: -len(".gz")] if file.lower().endswith(".gz") else file
    return _plain(stem.rpartition(".")[0]) or "volume"


def hash_of_path(parts: Sequence[str]) -> str:
    """Return what is appended to a name that several studies share.

    Args:
        parts: folders and name of the (first) file, from the folder that was predicted.

    Example:
        >>> hash_of_path(["P 2", "image.nii.gz"])
        '-c4ea758f'
    """
    return f"-{_hash('/'.join(parts))[:HEX]}"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def by_scan(
    candidates: Iterable[Candidate], scans: Mapping[str, Path | None], source: str
) -> tuple[dict[str, list[Candidate]], list[str]]:
    """Return the candidates of each scan, and the names that are of none.

    A scan is also known by the name of its study, whichever folder above its file was predicted. A
    name that fits several scans is of none.

    Args:
        candidates: of any scans.
        scans: id -> file of the CT; None where it is not known.
        source: of the candidates, for the message.

    Raises:
        ValueError: for two studies of one scan, whose candidates would count twice.
    """
    known, found = _Scans(scans), defaultdict(list)
    names_of: dict[str, set[str]] = defaultdict(set)
    unlisted: dict[str, None] = {}
    for candidate in candidates:
        scan = known.scan(candidate.series_uid)
        if scan is None:
            unlisted[candidate.series_uid] = None
            continue
        found[scan].append(candidate)
        names_of[scan].add(candidate.series_uid)
    for scan, names in names_of.items():
        if len(names) > 1:
            raise ValueError(
                f"candidates: {source} has two studies of the scan {scan}: "
                f"{' and '.join(sorted(names))}; keep the candidates of one"
            )
    return dict(found), list(unlisted)


class _Scans:
    """Finds the scan of a name."""

    def __init__(self, scans: Mapping[str, Path | None]) -> None:
        self.files = scans
        self.named: dict[str, set[str]] = defaultdict(set)
        for scan, file in scans.items():
            names = {study_name(scan), _plain(scan)}
            for name in names | ({file_study_name(file.name)} if file else set()):
                self.named[name].add(scan)

    def scan(self, name: str) -> str | None:
        """Return the scan; None if it is of none, or may be of several."""
        if name in self.files:
            return name
        own, hashed = self.named.get(name, set()), _HASHED.fullmatch(name)
        if not own and hashed:
            base = hashed.group(1)
            own = {base} if base in self.files else self.named.get(base, set())
            own = {scan for scan in own if self._is_at(scan, name)}
        return next(iter(own)) if len(own) == 1 else None

    def _is_at(self, scan: str, name: str) -> bool:
        """Whether a name has the hash of the path of a scan's file, if that is known."""
        file = self.files[scan]
        if file is None:
            return True
        tails = (file.parts[start:] for start in range(len(file.parts)))
        return any(name.endswith(hash_of_path(tail)) for tail in tails)
