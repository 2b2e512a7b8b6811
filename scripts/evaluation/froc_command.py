"""``python -m scripts froc``: LUNA16's score of any file of candidates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bundle.record import provenance, sha256_of
from scripts.datasets.candidates import Candidate, read_candidates
from scripts.datasets.contract import Point
from scripts.datasets.luna16.annotations import KnownSeries, read_annotations, read_findings
from scripts.datasets.luna16.scans import read_series_list
from scripts.datasets.problems import Problem
from scripts.datasets.study_names import by_scan
from scripts.evaluation.figures.froc import Froc, mark_scan, score
from scripts.evaluation.pictures.froc_drawing import draw_froc
from scripts.evaluation.scan_score import FROC_DEFINITIONS
from scripts.evaluation.tables import FROC_COLUMNS, froc_rows
from scripts.running.options import check_whole
from scripts.running.reasons import listed
from scripts.storage.files import write_csv, write_json
from scripts.storage.locks import claimed

LISTS = ("annotations.csv", "annotations_excluded.csv", "seriesuids.csv")
_NAMED = 3  # unknown series named in the error


def froc(
    candidates: str,
    source: str,
    output: str,
    *,
    seriesuids: str | None = None,
    seed: int = 0,
) -> None:
    """Score candidates by the rules of LUNA16's evaluation.

    Writes froc.csv (sensitivity at 1/8 to 8 false positives per scan, with 95 % intervals),
    froc.png and froc.json (also the CPM, counts and definitions).

    Args:
        candidates: CSV with the columns seriesuid, coordX, coordY, coordZ, probability (LPS mm), of
            predict or of any other software.
        source: folder with LUNA16's lists annotations.csv, annotations_excluded.csv and
            seriesuids.csv, or lists in the same format. Without the second, no finding is excluded,
            which is noted.
        output: folder to write into.
        seriesuids: list of the scans to score, one series UID a line, for example of one fold; by
            default all of SOURCE/seriesuids.csv. Scans without candidates count.
        seed: of the resampling of scans.

    Raises:
        ValueError: for a damaged list, candidates of a scan that is not listed, or scans without a
            nodule.
        FileNotFoundError: when a file does not exist.
    """
    check_whole("seed", seed, 0)
    file, folder = Path(str(candidates)), Path(str(source))
    if not file.is_file():
        raise FileNotFoundError(f"candidates: no such file: {file}")
    series = Path(str(seriesuids)) if seriesuids is not None else folder / LISTS[2]
    reference = read_reference(folder, series)
    found = assign(read_candidates(file), reference.series, file.name)
    result = score(
        [
            mark_scan(found[uid], reference.nodules.get(uid, ()), reference.excluded.get(uid, ()))
            for uid in reference.series
        ],
        seed=seed,
    )
    target = Path(str(output))
    with claimed(target):
        write_csv(target / "froc.csv", froc_rows(result), columns=FROC_COLUMNS)
        draw_froc(result, target / "froc.png", title=file.name)
        files = [file, *(folder / name for name in LISTS[:2]), series]
        hashes = {path.name: sha256_of(path) for path in files if path.is_file()}
        record = {"notes": reference.notes, "files_sha256": hashes, **_record(result)}
        write_json(target / "froc.json", {**record, "provenance": provenance(seed=seed)})
    print("\n".join([*(f"note: {note}" for note in reference.notes), result.text()]))
    print(f"written to {target}")


@dataclass(frozen=True)
class Reference:
    """The lists that candidates are scored against.

    Args:
        series: the scans, in a fixed order.
        nodules: scan -> its nodules.
        excluded: scan -> its excluded findings.
        notes: what was found in the lists, for the screen.
    """

    series: tuple[str, ...]
    nodules: Mapping[str, Sequence[Point]]
    excluded: Mapping[str, Sequence[Point]]
    notes: Sequence[str] = ()


def read_reference(folder: Path, series: Path) -> Reference:
    """Read LUNA16's lists for the scans of a list.

    Raises:
        FileNotFoundError: without a list of nodules, or of scans.
        ValueError: for a list that is empty or has a damaged row; a wrong list would give a wrong
            score.
    """
    if not (folder / LISTS[0]).is_file():
        raise FileNotFoundError(f"source: {folder} must hold {', '.join(LISTS)}; no {LISTS[0]}")
    scans = read_series_list(series)
    if scans is None:
        raise FileNotFoundError(
            f"seriesuids: no list of scans at {series}; scans without nodules count, so that the "
            "score needs the list of all scans: pass --seriesuids FILE"
        )
    if not scans:
        raise ValueError(f"seriesuids: {series} lists no scan")
    everywhere = read_series_list(folder / LISTS[2])
    known = KnownSeries(scans, None if everywhere is None else {*everywhere, *scans})
    annotations = read_annotations(folder / LISTS[0], known)
    findings = read_findings(folder / LISTS[1], scans)
    problems = [*annotations.problems, *findings.problems]
    _refuse([each for each in problems if each.left_out or each in findings.problems])
    nodules = {
        uid: [(*one.centre_lps_mm, one.diameter_mm) for one in rows]
        for uid, rows in annotations.nodules.items()
    }
    excluded = {uid: [one.point for one in rows] for uid, rows in findings.findings.items()}
    notes = [str(each) for each in problems]
    if not (folder / LISTS[1]).is_file():
        notes.append(f"no {LISTS[1]} in {folder}: every candidate off the nodules counts as false")
    return Reference(tuple(sorted(scans)), nodules, excluded, notes)


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more rows)" if len(problems) > 1 else ""
        raise ValueError(f"source: {problems[0].place}: {problems[0].reason}{more}")


def assign(
    candidates: Iterable[Candidate], series: Collection[str], name: str
) -> dict[str, list[Candidate]]:
    """Return the candidates of each scan.

    A scan is also known by the name that ``predict`` gives its study: of a DICOM series derived
    from its UID, of a file with a hash of its path if others have its name.

    Args:
        candidates: of any scans.
        series: UIDs of the scans.
        name: of the candidates' file.

    Raises:
        ValueError: for candidates of other scans, naming the first of these; for two studies of
            one scan.
    """
    assigned, unknown = by_scan(candidates, dict.fromkeys(series), name)
    if unknown:
        raise ValueError(
            f"candidates: {name} has candidates of {len(unknown)} series that the list of scans "
            f"does not have: {listed(unknown, most=_NAMED)}; give the list of the predicted scans "
            "with --seriesuids"
        )
    return defaultdict(list, assigned)


def _record(result: Froc) -> dict[str, Any]:
    return {
        "cpm": result.cpm.value,
        "cpm_interval_95": result.cpm.ends,
        "froc": froc_rows(result),
        "counts": result.counts(),
        "definitions": FROC_DEFINITIONS,
    }
