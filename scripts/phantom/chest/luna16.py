"""A synthetic cohort in the file layout of LUNA16, with true masks."""

from __future__ import annotations

from pathlib import Path

from scripts.phantom.chest.synthetic_series import (
    VERSION,
    Options,
    Record,
    make_series,
    series_of,
    series_uid,
)
from scripts.phantom.files import claim_folder
from scripts.running.options import check_whole, read_truth
from scripts.running.workers import work_through
from scripts.storage.files import write_text
from scripts.storage.output_folder import writing_into

SIZES, SLICES = (64, 1024), (16, 600)
SMALLEST_MM, LARGEST_MM = 3.0, 30.0
README = """\
SYNTHETIC. No person was scanned: every image, lung map and mask in this folder was drawn by
`python -m scripts phantom luna16` from the seed in cohort.json, in the file layout of LUNA16.
For trying out and testing software. Not for medical conclusions: results on these images do not
predict results on patients.
"""


def make_cohort(
    output: str,
    *,
    patients: int = 8,
    seed: int = 0,
    size: int = 256,
    slices: int | None = None,
    nodule_min_mm: float = SMALLEST_MM,
    nodule_max_mm: float = LARGEST_MM,
    suspicion: bool = False,
    matched_sizes: bool = False,
    jobs: int = 1,
) -> None:
    """Write a synthetic cohort in LUNA16's layout.

    The same options give the same bytes. Each patient depends only on the seed and its number, so
    that a larger cohort begins with the patients of a smaller one. A folder made with the same
    options is completed; its scans are kept.

    Args:
        output: folder to fill; new, empty, or made by this command with the same options.
        patients: number of patients; every fifth has two series, every fourth is stored flipped.
        seed: seed of all random draws.
        size: pixels along a slice's side; the field of view stays 330 to 380 mm.
        slices: slices per scan; by default as many as cover the chest at 0.7 to 2.5 mm.
        nodule_min_mm: smallest diameter, 3 or more.
        nodule_max_mm: largest diameter, 30 or less.
        suspicion: draw suspicious (lobulated, spiculated) and unsuspicious (smooth) nodules, and
            write lidc_xml/ with outlines and ratings of malignancy by four made-up readers.
        matched_sizes: with suspicion, give both classes the same diameters; by default suspicious
            nodules are larger.
        jobs: number of parallel processes.

    Raises:
        ValueError: for an option out of range.
        FileExistsError: for a folder with other files.
        OutputError: when it cannot be written.
    """
    check_options(patients, size, slices, (nodule_min_mm, nodule_max_mm), seed, jobs)
    classes = read_truth("suspicion", suspicion), read_truth("matched_sizes", matched_sizes)
    if classes == (False, True):
        raise ValueError("matched_sizes: needs --suspicion true, which draws two classes")
    limits = float(nodule_min_mm), float(nodule_max_mm)
    options = Options(seed, size, slices, *limits, VERSION, *classes)
    folder = claim_folder(Path(output), options.record(), patients, README)
    tasks = [(folder, options, pair) for index in range(patients) for pair in series_of(index)]
    records = []
    with writing_into(folder):
        for done, record in enumerate(work_through(make_series, tasks, jobs), start=1):
            records.append(record)
            nodules = f"{len(record.nodules)} nodules"
            print(f"{done}/{len(tasks)} {record.seriesuid} {nodules}", flush=True)
        order = [series_uid(seed, *pair) for _, _, pair in tasks]
        records.sort(key=lambda record: order.index(record.seriesuid))
        write_tables(folder, records)
    count = sum(len(record.nodules) for record in records)
    print(f"{patients} patients, {len(records)} series, {count} nodules in {folder}")


def check_options(
    patients: int,
    size: int,
    slices: int | None,
    diameters_mm: tuple[float, float],
    seed: int,
    jobs: int,
) -> None:
    """Refuse options out of range.

    Raises:
        ValueError: naming the option, its rule and the given value.
    """
    check_whole("patients", patients, 1, 100_000)
    check_whole("size", size, *SIZES)
    check_whole("seed", seed, 0, 2**31 - 1)
    check_whole("jobs", jobs, 1, 1024)
    if slices is not None:
        check_whole("slices", slices, *SLICES)
    low_mm, high_mm = diameters_mm
    if not SMALLEST_MM <= low_mm <= high_mm <= LARGEST_MM:
        raise ValueError(
            f"nodule diameters must satisfy {SMALLEST_MM:g} <= nodule_min_mm <= nodule_max_mm <= "
            f"{LARGEST_MM:g} mm (LUNA16's range), got {low_mm!r} and {high_mm!r}"
        )


def write_tables(folder: Path, records: list[Record]) -> None:
    """Write annotations.csv, nodules.csv, seriesuids.csv and patients.csv."""
    nodules = [(record.seriesuid, nodule) for record in records for nodule in record.nodules]
    classed = any(nodule.suspicious is not None for _, nodule in nodules)
    tables = {
        "annotations.csv": ["seriesuid,coordX,coordY,coordZ,diameter_mm"]
        + [f"{uid},{n.centre_text},{n.diameter_mm:.9g}" for uid, n in nodules],
        "nodules.csv": [
            f"seriesuid,id,kind,diameter_mm,volume_mm3{',suspicious' if classed else ''}"
        ]
        + [
            f"{uid},{n.id},{n.kind},{n.diameter_mm:.9g},{n.volume_mm3:.9g}"
            f"{f',{int(bool(n.suspicious))}' if classed else ''}"
            for uid, n in nodules
        ],
        "seriesuids.csv": [record.seriesuid for record in records],
        "patients.csv": ["seriesuid,patient_id"]
        + [f"{record.seriesuid},{record.patient_id}" for record in records],
    }
    for name, lines in tables.items():
        write_text(folder / name, "\n".join(lines) + "\n")
