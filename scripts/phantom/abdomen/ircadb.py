"""A synthetic cohort in the file layout of 3D-IRCADb-01."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from scripts.phantom.abdomen.ircadb_patient import Options, PatientRecord, make_patient
from scripts.phantom.files import claim_folder
from scripts.running.options import check_whole
from scripts.running.workers import work_through
from scripts.storage.files import write_text
from scripts.storage.output_folder import writing_into

SIZES, SLICES = (64, 1024), (24, 600)
README = """\
SYNTHETIC. No person was scanned: every image and mask in this folder was drawn by
`python -m scripts phantom ircadb` from the seed in cohort.json, in the file layout of
3D-IRCADb-01. For trying out and testing software. Not for medical conclusions: results on these
images do not predict results on patients.
"""


def make_cohort(
    output: str,
    *,
    patients: int = 6,
    seed: int = 0,
    size: int = 256,
    slices: int | None = None,
    jobs: int = 1,
) -> None:
    """Write a synthetic cohort in 3D-IRCADb-01's layout.

    The same options give the same bytes. Each patient depends only on the seed and its number, so
    that a larger cohort begins with the patients of a smaller one. A folder made with the same
    options is completed; its patients are kept.

    Args:
        output: folder to fill; new, empty, or made by this command with the same options.
        patients: number of patients; six of them show all irregularities of the real data set.
        seed: seed of all random draws.
        size: pixels along a slice's side; the field of view stays 287 to 491 mm.
        slices: slices per patient; by default as many as cover the upper abdomen at 1 to 4 mm.
        jobs: number of parallel processes.

    Raises:
        ValueError: for an option out of range.
        FileExistsError: for a folder with other files.
        OutputError: when it cannot be written.
    """
    check_whole("patients", patients, 1, 100_000)
    check_whole("seed", seed, 0, 2**31 - 1)
    check_whole("size", size, *SIZES)
    check_whole("jobs", jobs, 1, 1024)
    if slices is not None:
        check_whole("slices", slices, *SLICES)
    options = Options(seed, size, slices)
    folder = claim_folder(Path(output), asdict(options), patients, README)
    tasks = [(folder, options, index) for index in range(patients)]
    records = []
    with writing_into(folder):
        for number, record in enumerate(work_through(make_patient, tasks, jobs), start=1):
            records.append(record)
            print(f"{number}/{patients} {record.describe()}", flush=True)
        write_table(folder / "patients.csv", sorted(records, key=lambda record: record.number))
    print(f"{patients} patients in {folder}")


def write_table(path: Path, records: list[PatientRecord]) -> None:
    """Write one row per patient: its irregularities, and the sizes of its organs."""
    lines = ["patient_id,phase,slices,spacing_z_mm,descending,packing,tumours,liver_ml,kidneys"]
    for record in records:
        lines.append(
            f"{record.patient_id},{record.phase},{record.slices},{record.spacing_mm[2]:g},"
            f"{str(record.descending).lower()},{record.packing},{record.tumours},"
            f"{record.millilitres('liver'):.1f},{record.kidneys}"
        )
    write_text(path, "\n".join(lines) + "\n")
