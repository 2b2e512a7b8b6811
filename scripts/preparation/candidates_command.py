"""``python -m scripts candidates``: crops of a network's candidates, to train a second stage on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.bundle.record import provenance
from scripts.datasets.candidates import Candidate, read_candidates
from scripts.datasets.datalist import load_datalist
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.study_names import by_scan
from scripts.preparation.candidate_samples import (
    ANNOTATED,
    CANDIDATE,
    RANDOM,
    CropOptions,
    CropOutcome,
    CropTask,
    crop_scan,
    lost_scan,
)
from scripts.running.options import check_whole
from scripts.running.progress import Progress
from scripts.running.workers import work_through
from scripts.storage.files import read_json, write_json
from scripts.storage.locks import claimed
from scripts.storage.output_folder import portable_path

NAME, KIND = "candidates", "targets"
SMALLEST, LARGEST = 32, 512  # rows and columns of a crop


def candidates(
    prepared: str,
    candidates: str,
    output: str,
    *,
    most: int = 100,
    size: int = 96,
    negatives: int = 8,
    seed: int = 0,
    jobs: int = 1,
) -> None:
    """Cut crops of a network's candidates, to train a second stage that removes false positives.

    Writes OUTPUT/datalist.json and the crops: each candidate's slice with its two neighbours. A
    candidate on a nodule is a nodule (its centre is closer to the nodule's than the radius, as in
    LUNA16's evaluation), one on an excluded finding is left out, others are negative. Training and
    validation also have every annotated nodule at its own centre, and random positions in the
    lungs of scans with few candidates. Partitions are those of the prepared folder, so that no
    patient of the test is trained on. The same command resumes an interrupted run.

    Args:
        prepared: folder of `prepare DATASET` with whole volumes, of single lesions such as luna16.
        candidates: candidates.csv of `predict`, of scans of all partitions, by their names there or
            in the prepared folder; several files are separated by commas.
        output: folder to write.
        most: number of candidates of a scan, the most probable; LUNA16's evaluation counts 100.
        size: rows and columns of a crop in pixels. Training turns and shifts crops and then takes
            their middle, 64 x 64, which from 96 on has no empty corners.
        negatives: least number of crops without a nodule of a training or validation scan.
        seed: of the random positions.
        jobs: number of scans cropped in parallel.

    Raises:
        ValueError: for an invalid option, a prepared folder without volumes or nodules, or
            candidates of other scans only.
        OSError: when a file does not exist, or the output cannot be written.
        SystemExit: 1 when a scan could not be used.
    """
    check_whole("most", most, 1)
    check_whole("size", size, SMALLEST, LARGEST)
    check_whole("negatives", negatives, 0)
    check_whole("seed", seed, 0)
    check_whole("jobs", jobs, 1)
    source, target = Path(str(prepared)) / "datalist.json", Path(str(output))
    files = [Path(name.strip()) for name in str(candidates).split(",") if name.strip()]
    options = CropOptions(size, negatives, seed)
    _refuse_other_data(target)
    volumes = {section: load_datalist(source, f"volumes/{section}") for section in PARTITIONS}
    if (kind := read_json(source).get("kind", "instances")) != "instances":
        raise ValueError(f"prepared: must be a data set of single lesions, {prepared} has {kind}")
    scans = {str(v["series_uid"]): Path(v["image"]) for listed in volumes.values() for v in listed}
    found, unused = by_scan(_read(files), scans, ", ".join(file.name for file in files))
    _print_unused(found, unused, scans)
    known = {uid: _most_probable(of_scan, most) for uid, of_scan in found.items()}
    tasks = [
        CropTask(volume, section, tuple(known.get(str(volume["series_uid"]), ())), target, options)
        for section in PARTITIONS
        for volume in volumes[section]
    ]
    with claimed(target):
        outcomes = _cut_all(tasks, jobs)
        content = _datalist(outcomes, source, files, options, target, most)
        write_json(target / "datalist.json", content)
    print("\n".join(_lines(outcomes, content, target)))
    if any(outcome.problem for outcome in outcomes):
        raise SystemExit(1)


def _refuse_other_data(output: Path) -> None:
    """Refuse a folder with another prepared data set, whose datalist would be replaced."""
    file = output / "datalist.json"
    name = read_json(file).get("name") if file.is_file() else NAME
    if name != NAME:
        raise ValueError(f"output: {output} holds prepared data of {name}; give another folder")


def _read(files: Sequence[Path]) -> list[Candidate]:
    return [candidate for file in files for candidate in read_candidates(file)]


def _most_probable(found: Sequence[Candidate], most: int) -> list[Candidate]:
    return sorted(found, key=lambda candidate: -candidate.probability)[:most]


def _print_unused(found: Collection[str], unused: Sequence[str], scans: Mapping[str, Path]) -> None:
    """Print which scans have no candidate, and which candidates have no scan.

    Args:
        found: scans with candidates.
        unused: names of other series in the files.
        scans: prepared scan -> file of its CT.

    Raises:
        ValueError: when no scan has a candidate.
    """
    without = [uid for uid in scans if uid not in found]
    if not found:
        image = next(iter(scans.values()), "none")
        raise ValueError(
            f"candidates: none of the {len(scans)} prepared scans is in the file(s), which have "
            f"{len(unused)} series, such as {next(iter(unused), 'none')}; predict the files "
            f"that the prepared folder lists as images, such as {image}"
        )
    if unused:
        print(f"not used: candidates of {len(unused)} other series, such as {unused[0]}")
    if without:
        print(
            f"{len(without)} of {len(scans)} scans have no candidate (or were not predicted), "
            f"such as {without[0]}"
        )


def _cut_all(tasks: Sequence[CropTask], jobs: int) -> list[CropOutcome]:
    """Crop every scan, showing progress; the outcomes are in the order of the tasks."""
    done: dict[str, CropOutcome] = {}
    with Progress(total=len(tasks), unit="scan", desc="crop") as progress:
        for outcome in work_through(crop_scan, tasks, jobs, lost=lost_scan):
            done[outcome.task.uid] = outcome
            progress.update()
            if outcome.problem is not None:
                progress.write(f"  {outcome.problem}")
    return [done[task.uid] for task in tasks]


def _datalist(
    outcomes: Sequence[CropOutcome],
    source: Path,
    files: Sequence[Path],
    options: CropOptions,
    output: Path,
    most: int,
) -> dict[str, Any]:
    """Return the content of the datalist: samples of each partition, and how they were made."""
    prepared = read_json(source)
    record: dict[str, Any] = {"name": NAME, "kind": KIND}
    for section in PARTITIONS:
        of_section = [one for one in outcomes if one.task.section == section]
        record[section] = [sample for one in of_section for sample in one.samples]
    record["classes"] = {"0": "background", "1": "nodule"}
    record["window_hu"] = prepared.get("window_hu")
    made = prepared.get("provenance", {})
    record["provenance"] = provenance(
        source=portable_path(source.parent, output),
        candidates=[portable_path(file, output) for file in files],
        split=made.get("split"),
        seed=options.seed,
        most=most,
        size=options.size,
        negatives=options.negatives,
        scans=sum(outcome.problem is None for outcome in outcomes),
        scans_left_out=[one.task.uid for one in outcomes if one.problem is not None],
    )
    return record


def _lines(outcomes: Iterable[CropOutcome], content: Mapping[str, Any], output: Path) -> list[str]:
    """Return what was cut, a line for each partition."""
    lines = []
    for section in PARTITIONS:
        counts = Counter((sample["origin"], sample["target"][0]) for sample in content[section])
        lines.append(
            f"{section}: {counts[CANDIDATE, 1.0]} candidates on nodules, "
            f"{counts[ANNOTATED, 1.0]} annotated nodules; {counts[CANDIDATE, 0.0]} false "
            f"candidates, {counts[RANDOM, 0.0]} random positions"
        )
    excluded = sum(outcome.excluded for outcome in outcomes)
    if excluded:
        lines.append(f"{excluded} candidates on excluded findings are left out")
    return [*lines, f"written to {output}"]
